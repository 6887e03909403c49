"""The claims of docs/reports/reliability.md, each with its tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A guarantee or a fixed bug, and the prefixes of the names of its tests, ``tests/file.py::test``."""

    text: str
    tests: tuple[str, ...]


GUARANTEES = (
    Claim(
        "A kill at an operation on a file or at a random time, in a joint training, in R-CNN's stages, in a search or "
        "in a prediction, leaves no file that cannot be read; the same command or `--resume` gives the same bits (on "
        "CPUs; on a GPU `train.deterministic` is made for it, and was not run there)",
        ("tests/fault_injection/test_kills.py::test_kill",),
    ),
    Claim(
        "A file gets its name after its content is synced to disk; then its folder is synced",
        ("tests/fault_injection/test_kills.py::test_rename",),
    ),
    Claim(
        "A save that fails at any of its operations (no space, I/O error, short write, full disk) leaves a checkpoint "
        "that loads; the run reports it in one line and can be resumed",
        ("tests/fault_injection/test_failed_saves.py",),
    ),
    Claim(
        "A checkpoint with a flipped bit, or truncated anywhere, is refused with its file name",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_flipped_bit",
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_refuses_a_truncated_file",
            "tests/checkpoints/test_packaged.py::test_load_packaged_refuses_a_flipped_bit",
            "tests/checkpoints/test_packaged.py::test_load_packaged_refuses_a_truncated_file",
        ),
    ),
    Claim(
        "A trained detector predicts, is evaluated, explained, fine-tuned and resumed without a network, and without "
        "the files of initial weights that its settings name",
        ("tests/cli/test_offline.py",),
    ),
    Claim(
        "Damaged features, proposals and partial results are refused or computed again, never used",
        (
            "tests/training/svm/test_feature_cache.py::test_flipped_bit",
            "tests/training/svm/test_feature_cache.py::test_truncated_file",
            "tests/proposals/test_search_resumed.py",
            "tests/inference/test_prediction_journal.py",
            "tests/proposals/test_proposal_files.py::test_read_proposals_with_a_flipped_bit",
        ),
    ),
    Claim(
        "Code in a checkpoint is never run",
        (
            "tests/checkpoints/test_checkpoint.py::test_load_checkpoint_does_not_run_code",
            "tests/bad_inputs/test_binaries",
        ),
    ),
    Claim(
        "The package unpickles nothing but arrays, with a list of the functions that are allowed; it evaluates no "
        "strings and needs no network",
        ("tests/bad_inputs/test_security.py",),
    ),
    Claim(
        "Bad images, labels and settings are refused in one line, or reported and skipped",
        ("tests/bad_inputs/test_images_and_labels.py", "tests/bad_inputs/test_binaries.py::test_bad_binary"),
    ),
    Claim(
        "Names of files and classes are escaped in every HTML page",
        (
            "tests/report/test_page.py::test_render_escapes_names",
            "tests/report/test_label_page.py::test_page_escapes_names",
            "tests/serve/test_service.py::test_the_page_shows_names_as_text",
            "tests/explain/trace/test_trace_page.py::test_trace_page_escapes_names",
            "tests/data/inspect/test_gallery.py::test_page",
        ),
    ),
    Claim(
        "Folders with links to themselves are searched once",
        ("tests/inference/test_find_images.py::test_find_images_returns",),
    ),
    Claim(
        "Mutated inputs (labels of seven formats, masks, captions, images, settings, checkpoints, packaged detectors, "
        "proposals, results, parts, manifests and records): an answer or one line, no hang",
        ("tests/bad_inputs/test_mutated_files.py", "tests/bad_inputs/test_mutated_exports.py"),
    ),
    Claim(
        "`detect predict --from`: a kill of the driver or of a worker, at each of its file operations and at any "
        "moment, leaves each photo with one row after a restart, and does at most the shards in flight again",
        ("tests/inference/shards/test_kills.py",),
    ),
    Claim(
        "Time-outs, errors of the server and cut answers of an object store are tried again, and told as rows if they "
        "stay",
        (
            "tests/inference/shards/test_parts.py::test_errors_of_the_store",
            "tests/inference/shards/test_parts.py::test_a_store",
            "tests/inference/shards/test_sources.py::test_listings_are_repeated",
        ),
    ),
    Claim(
        "The recipes of adversaries and of words and regions, videos and photos in slices resume to the same bits",
        (
            "tests/training/test_adversarial.py::test_interrupted",
            "tests/describe/test_recipe.py::test_a_run",
            "tests/inference/test_predict_video.py::test_killed_and_resumed",
            "tests/inference/test_slices.py::test_predict_in_slices_resumes",
            "tests/bench/test_explaining_records.py",
        ),
    ),
    Claim(
        "The service answers requests that arrive together as it answers them alone, refuses more than its limit, and "
        "goes on after clients that hang up, send nonsense or hit a fault of the model",
        ("tests/serve/test_service.py",),
    ),
    Claim(
        "A NaN in any stage does not change the weights, names the image and saves the step for `train --replay`",
        ("tests/fault_injection/test_not_finite.py",),
    ),
    Claim("The data and their order do not depend on the number of workers", ("tests/fault_injection/test_order.py",)),
    Claim(
        "If the system ends a process that reads images, one line reports it with the current file, in "
        "training, evaluation, prediction and proposals",
        ("tests/fault_injection/test_dead_worker.py", "tests/data/loading/test_workers.py"),
    ),
    Claim(
        "Memory and open files do not grow over 4,000 steps on images of 32 pixels and over 20,000 predicted images "
        "(links to one such image), with and without workers: by 20 MB at most, and by no file",
        ("tests/fault_injection/test_long_runs.py",),
    ),
    Claim(
        "Two processes train as one does with the same batches (with group normalization, to rounding), and score and "
        "predict exactly as one (each process with one thread)",
        ("tests/fault_injection/test_processes.py::test_two", "tests/fault_injection/test_processes.py::test_torchrun"),
    ),
    Claim(
        "If one process is killed, the others end with a message; the training or prediction can be resumed with "
        "another number of processes",
        (
            "tests/fault_injection/test_processes.py::test_killed_process",
            "tests/fault_injection/test_processes.py::test_killed_prediction",
        ),
    ),
)

BUGS = (
    Claim(
        "A validation before the first row of losses (an epoch shorter than `train.log_every`) ended the run with a "
        "traceback: metrics.csv had no columns for them",
        ("tests/training/test_run_folder.py::test_add_metrics",),
    ),
    Claim(
        "A damaged `.finished.jsonl` ended `detect predict` with a traceback, and a flipped digit in it was accepted",
        ("tests/inference/test_prediction_journal.py::test_batches_before_the_damage_are_kept",),
    ),
    Claim(
        "A flipped byte in the cached features of R-CNN went into the fits",
        ("tests/training/svm/test_feature_cache.py::test_flipped_bit",),
    ),
    Claim(
        "A damaged entry among the cached features ended the fits with a KeyError",
        ("tests/training/svm/test_feature_cache.py::test_for_images",),
    ),
    Claim(
        "A gradient that was not finite went into the weights: only the loss was checked",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[gradient]",),
    ),
    Claim(
        "A step that failed on a NaN left it in the statistics of batch normalization",
        ("tests/fault_injection/test_not_finite.py::test_nan_in_a_stage_leaves_weights_and_saves_the_step[input]",),
    ),
    Claim(
        "Kills left temporary files, and a run that was killed before its settings were written could be neither "
        "started again nor resumed in its folder",
        (
            "tests/fault_injection/test_kills.py::test_kill",
            "tests/training/test_run_folder.py::test_create_in_a_folder_with_only_temp_files",
        ),
    ),
    Claim(
        "A resumed run wrote 20.0 among its proposals' settings where an uninterrupted one wrote 20",
        ("tests/fault_injection/test_kills.py::test_kill_at_a_file_operation_resumes_identically[rcnn",),
    ),
    Claim(
        "On a full disk the failure to write the log hid the message",
        ("tests/fault_injection/test_failed_saves.py::test_run_with_failed_writes",),
    ),
    Claim(
        "A glob with `**` over a folder that links to itself was searched forever",
        ("tests/inference/test_find_images.py::test_find_images_returns",),
    ),
    Claim(
        "`detect predict` that was killed in its first batch left a temporary file when it had been run again",
        ("tests/fault_injection/test_kills.py::test_kill_at_a_file_operation_resumes_identically[prediction",),
    ),
    Claim(
        "Captions that name a photo with too long a name for the system ended with a traceback",
        (
            "tests/bad_inputs/test_mutated_exports.py::test_mutated_files_are_read_or_refused[captions",
            "tests/describe/formats/test_coco_captions.py::test_a_photo_with_a_name_that_is_too_long",
        ),
    ),
    Claim(
        "metrics.csv with a header or a number that was truncated or damaged ended a resume with a traceback",
        ("tests/training/test_run_folder.py::test_truncate_after_removes_damaged",),
    ),
)
