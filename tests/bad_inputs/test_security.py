"""Checks the package's source for forbidden calls, and that it works without a network."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
UNPICKLER = "detect/system/pickles.py"  # a subclass of Unpickler that finds the makers of arrays and nothing else
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PARSERS = {"xml", "lxml"}  # they expand entities; defusedxml refuses them
XML_READER = "detect/data/formats/xml_files.py"  # it gives the plain parser only text that cannot declare an entity
SAFE_XML_NAMES = {"Element", "ParseError", "SubElement", "tostring", "indent"}  # of xml: types, and what writes
CODE_RUNNERS = {"eval", "exec", "compile", "__import__"}


def find_violations(source: str, file: str) -> Iterator[str]:
    """Yield each violation of a module with its file and line."""
    for node in ast.walk(ast.parse(source)):
        for violation in (*_forbidden_imports(node, file), *_forbidden_calls(node)):
            yield f"{file}:{getattr(node, 'lineno', 0)}: {violation}"


def _forbidden_imports(node: ast.AST, file: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = {alias.name.partition(".")[0] for alias in node.names}
        yield from (names & PICKLES if file != UNPICKLER else set())
        yield from names & PARSERS
    if isinstance(node, ast.ImportFrom) and node.module:
        top = node.module.partition(".")[0]
        names = {alias.name for alias in node.names}
        is_safe = names <= SAFE_XML_NAMES or (file == XML_READER and names == {"fromstring"})
        if top in PICKLES or (top in PARSERS and not is_safe):
            yield f"from {node.module}"


def _forbidden_calls(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    name = ast.unparse(node.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in CODE_RUNNERS:
        yield name
    if name == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
        yield "np.load without allow_pickle=False"
    if name in ("pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"):
        yield name
    if name in ("yaml.load", "yaml.load_all") and keywords.get("Loader") not in ("_Loader", "yaml.SafeLoader"):
        yield "yaml.load without a safe loader"
    if keywords.get("shell", "False") != "False":
        yield "shell=True"
    if name.endswith((".extractall", "unpack_archive")):
        yield f"{name}: a path in an archive may lead anywhere"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("", 0),
        ("import pickle", 1),
        ("from pickle import loads", 1),
        ("import json, dill", 1),
        ("eval('1')", 1),
        ("model.eval()", 0),
        ("torch.load(f)", 1),
        ("torch.load(f, weights_only=False)", 1),
        ("torch.load(f, weights_only=True)", 0),
        ("np.load(f)", 1),
        ("np.load(f, allow_pickle=False)", 0),
        ("yaml.load(t, Loader=yaml.Loader)", 1),
        ("yaml.load(t, yaml.Loader)", 1),
        ("yaml.safe_load(t)", 0),
        ("subprocess.run(c, shell=True)", 1),
        ("from xml.etree.ElementTree import fromstring", 1),
        ("from xml.etree.ElementTree import Element, ParseError", 0),
        ("import xml.dom.minidom", 1),
        ("archive.extractall(folder)", 1),
    ],
)
def test_find_violations_counts_them(source: str, count: int) -> None:
    assert len(list(find_violations(source, "some.py"))) == count


def test_package_has_no_violations() -> None:
    files = sorted((ROOT / "detect").rglob("*.py"))
    assert len(files) > 200
    violations = [
        violation
        for file in files
        for violation in find_violations(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert violations == []


def test_yaml_loader_is_a_safe_loader() -> None:
    from detect.system import yaml_files as yaml_text

    assert issubclass(yaml_text._Loader, yaml.SafeLoader)


WITHOUT_NETWORK = """
import json, socket, sys

class Blocked(socket.socket):
    def __init__(self, family=-1, *rest, **named):
        if family != socket.AF_UNIX:
            raise SystemExit("a socket was opened")
        super().__init__(family, *rest, **named)

def refuse(*_, **__):
    raise SystemExit("a name was looked up")

socket.socket, socket.getaddrinfo, socket.create_connection = Blocked, refuse, refuse
from detect.cli.main import run
for command in json.loads(sys.argv[1]):
    sys.argv = ["detect", *command]
    try:
        run()
    except SystemExit as ended:
        if ended.code:
            raise
"""


@pytest.mark.slow
def test_training_and_prediction_open_no_socket(tmp_path: Path, shapes_root: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), "utf-8")
    train = [
        "train",
        "--config",
        "tiny.yaml",
        "--set",
        f"data.root={shapes_root}",
        "--set",
        "train.steps=2",
        "--out",
        "run",
    ]
    commands = json.dumps([train, ["predict", "run", str(shapes_root), "--out", "out", "--format", "json"]])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, commands], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "predictions.json").is_file()
