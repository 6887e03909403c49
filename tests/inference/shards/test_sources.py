from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from detect.errors import RunError, UserError
from detect.inference.shards.manifest import NAME, Manifest, ensure_manifest
from detect.inference.shards.sources import PhotoSource
from detect.inference.shards.stores import OutputFolder, Retries

pyarrow = pytest.importorskip("pyarrow", reason="the extra scale is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

RETRIES = Retries(count=1, wait=0.001)


def read(source: object, shard_size: int = 2) -> list[list[str]]:
    return list(PhotoSource(str(source), RETRIES).shards(shard_size))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "/x/1.jpg\n", [["/x/1.jpg"]]),
        ("a.txt", "\ufeff/x/1.jpg\r\n\n  \n1.jpg\nhttps://h/3.jpg", [["/x/1.jpg", "{tmp}/1.jpg"], ["https://h/3.jpg"]]),
        ("a.lst", "b c.jpg\n", [["{tmp}/b c.jpg"]]),
        ("a.csv", "id,url\n1,s3://b/1.jpg\n", [["s3://b/1.jpg"]]),
        ("a.txt", "s.tar\nt.TGZ\n", [["{tmp}/s.tar"], ["{tmp}/t.TGZ"]]),
        ("a.txt", "tar://a.jpg::/s.tar\nb.jpg\n", [["tar://a.jpg::/s.tar", "{tmp}/b.jpg"]]),
        ("a.csv", 'file\n"a,b.jpg"\n', [["{tmp}/a,b.jpg"]]),
    ],
)
def test_lists(tmp_path: Path, name: str, text: str, expected: list[list[str]]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8") as stream:
        stream.write(text)
    shards = [[address.replace("{tmp}", str(tmp_path)) for address in shard] for shard in expected]
    assert read(tmp_path / name) == read(tmp_path / f"{name}.gz") == shards


def test_parquet_list(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"path": ["a.jpg", "/b.jpg", "c.jpg"]}), tmp_path / "list.parquet")
    assert read(tmp_path / "list.parquet") == [[f"{tmp_path}/a.jpg", "/b.jpg"], [f"{tmp_path}/c.jpg"]]
    parquet.write_table(pyarrow.table({"url": ["a.jpg", None]}), tmp_path / "null.parquet")
    with pytest.raises(UserError, match=r"null.parquet: row 2: expected the address of a photo, found none"):
        read(tmp_path / "null.parquet")


def test_folders_globs_and_tar_files(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/c/3.png", "1.jpg", "b/notes.md", "s-0.tar", "s-1.tar", "._1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    photos = [f"{tmp_path}/{name}" for name in ("1.jpg", "b/2.JPG", "b/c/3.png")]
    source = PhotoSource(str(tmp_path), RETRIES)
    assert list(source.shards(9)) == [photos]
    assert source.passed_over == {".md": 1, ".tar": 2, ".jpg": 1}
    assert read(f"{tmp_path}/**/*.png", 9) == [photos[2:]]
    assert read(f"file://{tmp_path}/b/*.JPG", 9) == [photos[1:2]]
    tars = [[f"{tmp_path}/s-0.tar"], [f"{tmp_path}/s-1.tar"]]
    assert read(f"{tmp_path}/*.tar") == read(f"{tmp_path}/s-{{0..1}}.tar") == tars
    assert read("memory://b/s-{008..010}.tar") == [[f"memory://b/s-{number}.tar"] for number in ("008", "009", "010")]


@pytest.mark.parametrize(("num_links", "text"), [(1, "1 link to a folder is"), (2, "2 links to a folder are")])
def test_links_to_folders_are_told(tmp_path: Path, num_links: int, text: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "album").mkdir()
    (tmp_path / "album/2.jpg").touch()
    for index in range(num_links):
        (tmp_path / f"photos/{index}.jpg").symlink_to(tmp_path / "album")
    with pytest.raises(UserError, match=f"photos: expected photos, found {text} not followed"):
        read(tmp_path / "photos")
    (tmp_path / "photos/link.jpg").symlink_to(tmp_path / "album/2.jpg")
    assert read(tmp_path / "photos") == [[f"{tmp_path}/photos/link.jpg"]]


@pytest.mark.parametrize(("num_failures", "is_listed"), [(0, True), (1, True), (2, False)])
def test_listings_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_failures: int, is_listed: bool
) -> None:
    (tmp_path / "1.jpg").touch()
    failures = [TimeoutError("no answer")] * num_failures
    ls = LocalFileSystem.ls

    def fail_first(store: LocalFileSystem, path: str, **options: bool) -> object:
        if failures:
            raise failures.pop()
        return ls(store, path, **options)

    monkeypatch.setattr(LocalFileSystem, "ls", fail_first)
    if is_listed:
        assert read(tmp_path) == [[f"{tmp_path}/1.jpg"]]
    else:
        with pytest.raises(RunError, match=r"expected a store that answers, found TimeoutError: no answer"):
            read(tmp_path)


def test_relative_source_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("a.jpg\n", encoding="utf-8")
    assert read("list.txt") == [[f"{tmp_path}/a.jpg"]]


@pytest.mark.parametrize(
    ("name", "content", "source", "message"),
    [
        ("a.txt", b"", "{tmp}/a.txt", "a.txt: expected photos, found none"),
        ("a.md", b"", "{tmp}", "expected photos, found 1 .md"),
        ("a.md", b"", "{tmp}/*.md", r"\*.md: expected photos, found 1 .md"),
        ("a.md", b"", "{tmp}/a.md", r"expected a list \(.txt, .lst, .csv, .parquet\), a glob, a folder or .tar files"),
        ("a.txt", b"", "{tmp}/b.txt", "b.txt: expected a list of photos, found nothing"),
        ("a.txt", b"\xff", "{tmp}/a.txt", "a.txt: expected text in UTF-8, found byte 0xff"),
        ("a.csv", b"name,urls\n", "{tmp}/a.csv", r'expected a column url, .*, found name, urls \(did you mean "urls"'),
        ("a.csv", b"url,x\n,1\n", "{tmp}/a.csv", "a.csv: line 2: expected the address of a photo, found none"),
        ("a.txt", b"a.jpg\n\nb.tar\n", "{tmp}/a.txt", "a.txt: line 3: expected a photo, as in the .*, found b.tar"),
        ("a.csv", b"url\nb.tar\na.jpg\n", "{tmp}/a.csv", "a.csv: line 3: expected a tar file, .*, found a.jpg"),
        ("a.txt", b"", "nosuch://a/b.txt", "nosuch://a/b.txt: expected an address that fsspec reads, found: Protocol"),
    ],
)
def test_sources_that_are_none(tmp_path: Path, name: str, content: bytes, source: str, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(source.replace("{tmp}", str(tmp_path)))


def test_manifest_is_written_once_and_divides_the_photos(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"/x/{index}.jpg\n" for index in range(7)), encoding="utf-8")
    folder = OutputFolder(str(tmp_path / "out"), RETRIES)
    manifest = ensure_manifest(folder, str(tmp_path / "list.txt"), 3)
    assert [len(manifest.addresses(number)) for number in range(manifest.num_shards)] == [3, 3, 1]
    assert manifest.addresses(2) == ["/x/6.jpg"]
    assert manifest.facts.num_addresses == 7
    (tmp_path / "list.txt").write_text("/y.jpg\n", encoding="utf-8")  # too late: the shards have their numbers
    assert ensure_manifest(folder, str(tmp_path / "list.txt"), 3).facts == manifest.facts
    assert folder.names() == [NAME]
    for source, size, message in (
        ("other.txt", 3, "--from: expected .*list.txt"),
        ("list.txt", 4, "--shard-size: expected 3"),
    ):
        with pytest.raises(UserError, match=message):
            ensure_manifest(folder, str(tmp_path / source), size)


def test_the_second_manifest_is_dropped(tmp_path: Path) -> None:
    folder = OutputFolder(str(tmp_path / "out"), RETRIES)
    for text in (b"first", b"second"):
        with folder.temporary_file(NAME) as file:
            file.write_bytes(text)
            folder.create(NAME, file)
    assert (tmp_path / "out" / NAME).read_bytes() == b"first"
    assert [file.name for file in (tmp_path / "out").iterdir()] == [NAME]


def test_any_changed_byte_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"/x/{index}.jpg\n" for index in range(4)), encoding="utf-8")
    folder = OutputFolder(str(tmp_path / "out"), RETRIES)
    whole = ensure_manifest(folder, str(tmp_path / "list.txt"), 2)
    expected = whole.facts, [whole.addresses(number) for number in (0, 1)]
    content = (tmp_path / "out" / NAME).read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        (tmp_path / "out" / NAME).write_bytes(damaged)
        try:
            manifest = Manifest(folder)
            addresses = [manifest.addresses(number) for number in range(manifest.num_shards)]
        except UserError:
            continue
        # Else it is a byte that says nothing of either, such as the name of the writer.
        assert (manifest.facts, addresses) == expected
