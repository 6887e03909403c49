"""VOC folders, and folders with VOC among other things."""

from __future__ import annotations

from pathlib import Path

from tests.data.cases.case import CAT, SIZE, Case, boxes_of, files_of
from tests.data.cases.write_cases import BOX, coco, voc, write_files, write_image


def _size_of_another(root: Path) -> None:
    """Every XML file states the size of the first image."""
    write_files(root, {f"Annotations/{name}.xml": voc(f"{name}.jpg") for name in "a"})
    write_files(root, {"Annotations/b.xml": voc("b.jpg", [(200, 100, 280, 180)])})
    write_image(root / "JPEGImages/a.jpg")
    write_image(root / "JPEGImages/b.jpg", (300, 200))


def _gbk_without_declaration(root: Path) -> None:
    """XML as a Chinese Windows writes it, with a class name whose bytes are no UTF-8."""
    write_files(root, {"a.jpg": "image"})
    (root / "a.xml").write_bytes(voc("a.jpg", name="\u72d7").encode("gbk"))


ROTATION = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes></object>"


DELETED = ("</object></annotation>", "<deleted>1</deleted></object></annotation>")  # of the last object
FRACTIONS = voc(boxes=[(-0.9, -0.8, 0.4, 0.7)])


def _voc_layout(xml_folder: str, image_folder: str, names: tuple[str, ...] = ("a.jpg", "b.png")) -> Case:
    """XML files in one folder, images in another; the XML files name no image."""
    files = {f"{image_folder}/{name}": "image" for name in names}
    files |= {f"{xml_folder}/{Path(name).stem}.xml": voc() for name in names}
    return Case(files_of(files), boxes_of(*(f"{image_folder}/{name}" for name in names)))


def _two_voc_layouts(*folders: tuple[str, str, str]) -> Case:
    """XML files and images of two splits, each with an image of its own."""
    files = {f"{images}/{stem}.jpg": "image" for _, images, stem in folders}
    files |= {f"{xmls}/{stem}.xml": voc(f"{stem}.jpg") for xmls, _, stem in folders}
    return Case(files_of(files), boxes_of(*(f"{images}/{stem}.jpg" for _, images, stem in folders)))


VOC_CASES: dict[str, Case] = {
    "VOC: size of another image": Case(
        _size_of_another,
        {"JPEGImages/a.jpg": [CAT], "JPEGImages/b.jpg": [("cat", 200.0, 100.0, 280.0, 180.0)]},
        findings=frozenset({"wrong-size"}),
    ),
    "VOC: deleted in LabelMe's web tool": Case(
        files_of({"a.jpg": "image", "a.xml": voc("a.jpg", [BOX, (50, 20, 81, 51)]).replace(*DELETED)}),
        boxes_of("a.jpg"),
        findings=frozenset({"no-object"}),
    ),
    "VOC: devkits of two years": Case(
        files_of(
            {f"{year}/JPEGImages/{year}.jpg": "image" for year in ("VOC2007", "VOC2012")}
            | {f"{year}/Annotations/{year}.xml": voc(f"{year}.jpg") for year in ("VOC2007", "VOC2012")}
            | {f"{year}/ImageSets/Main/train.txt": f"{year}\n" for year in ("VOC2007", "VOC2012")}
        ),
        boxes_of("VOC2007/JPEGImages/VOC2007.jpg", "VOC2012/JPEGImages/VOC2012.jpg"),
        findings=frozenset({"unread-lists"}),
    ),
    "VOC: fractions": Case(
        files_of({f"{name}.jpg": "image" for name in "ab"} | {f"{name}.xml": FRACTIONS for name in "ab"}),
        refused=r"expected boxes in pixels, found all 2 within 0\.\.1, as fractions of the image: multiply x by",
    ),
    "VOC: lists name subfolders": Case(
        files_of(
            {f"JPEGImages/{name}.jpg": "image" for name in ("cam1/0", "cam2/0")}
            | {f"Annotations/{name}.xml": voc(f"{name}.jpg") for name in ("cam1/0", "cam2/0")}
            | {"ImageSets/Main/train.txt": "cam1/0\n", "ImageSets/Main/val.txt": "cam2\\0\r\n"}
        ),
        boxes_of("JPEGImages/cam1/0.jpg", "JPEGImages/cam2/0.jpg"),
    ),
    "VOC: subfolders without lists": Case(
        files_of(
            {f"JPEGImages/{name}.jpg": "image" for name in ("cam1/0", "cam2/0")}
            | {f"Annotations/{name}.xml": voc() for name in ("cam1/0", "cam2/0")}
        ),
        boxes_of("JPEGImages/cam1/0.jpg", "JPEGImages/cam2/0.jpg"),
    ),
    "VOC: annotations/xmls": _voc_layout("annotations/xmls", "images"),
    "VOC: annots beside images": _voc_layout("annots", "images"),
    "VOC: capitals": _voc_layout("ANNOTATIONS", "IMAGES"),
    "VOC: folders of any name": _voc_layout("boxes", "raw/2020"),
    "VOC: splits with annots": _two_voc_layouts(
        ("train/annots", "train/images", "a"), ("valid/annots", "valid/images", "b")
    ),
    "VOC: splits below kinds": _two_voc_layouts(
        ("annotations/train", "images/train", "a"), ("annotations/val", "images/val", "a")
    ),
    "VOC: Training and Validation": _two_voc_layouts(
        ("Training/Annotations", "Training/Images", "a"), ("Validation/Annotations", "Validation/Images", "b")
    ),
    "VOC: the name in the file decides": Case(
        files_of({"JPEGImages/a.jpg": "image", "JPEGImages/a.png": "image", "Annotations/a.xml": voc("a.png")}),
        boxes_of("JPEGImages/a.png"),
        findings=frozenset({"unlabelled-image"}),
    ),
    "VOC: nothing decides": Case(
        files_of({"JPEGImages/a.jpg": "image", "JPEGImages/a.png": "image", "Annotations/a.xml": voc()}),
        refused=r"a\.xml: expected one image of its name, found JPEGImages/a\.jpg and JPEGImages/a\.png",
    ),
    "VOC: two files of one image": Case(
        files_of({"a.jpg": "image", "labels/a.xml": voc(), "xmls/a.xml": voc()}),
        refused=r"expected one XML file for a\.jpg, found labels/a\.xml and xmls/a\.xml",
    ),
    "VOC: another image by name": Case(
        files_of({"images/a.jpg": "image", "images/b.jpg": "image", "annots/a.xml": voc("b.jpg")}),
        refused=r"a\.xml: expected one image, found a\.jpg by its own name and b\.jpg in <filename>",
    ),
    "VOC: image of a kind that is not read": Case(
        files_of(
            {
                "JPEGImages/a.jpg": "image",
                "JPEGImages/b.cr2": "-",
                "Annotations/a.xml": voc(),
                "Annotations/b.xml": voc(),
            }
        ),
        refused=r"b\.jpg: expected image b, found b\.cr2, a kind of file that is not read",
    ),
    "VOC: default namespace": Case(
        files_of(
            {"a.jpg": "image", "a.xml": voc().replace("<annotation>", '<annotation xmlns="http://example.org/v">')}
        ),
        boxes_of("a.jpg"),
    ),
    "VOC: XML of something else": Case(
        files_of({"a.jpg": "image", "a.xml": "<report><page/></report>", "b.jpg": "image", "b.xml": voc()}),
        refused=r"a\.xml: expected VOC's <annotation> with <object>, found <report>",
    ),
    "VOC: GDAL's statistics and a project's XML": Case(
        files_of(
            {"x.tif": "image", "x.xml": voc(), "x.tif.aux.xml": "<PAMDataset/>", ".idea/misc.xml": "<project/>"}
            | {"docs/pom.xml": "<project/>"}
        ),
        boxes_of("x.tif"),
    ),
    "VOC: second bndbox": Case(
        files_of({"a.jpg": "image", "a.xml": voc().replace("</object>", "<bndbox><xmin>1</xmin></bndbox></object>")}),
        boxes_of("a.jpg"),
        findings=frozenset({"second-box"}),
    ),
    "VOC: CVAT's rotation": Case(
        files_of({"a.jpg": "image", "a.xml": voc().replace("</object>", ROTATION)}),
        {"a.jpg": [("cat", 9.0, 13.0, 41.0, 43.0)]},
    ),
    "VOC: a class composed and decomposed": Case(
        files_of({"a.jpg": "image", "a.xml": voc(name="K\u00e4se"), "b.jpg": "image", "b.xml": voc(name="Ka\u0308se")}),
        boxes_of("a.jpg", "b.jpg", box=("K\u00e4se", *BOX)),
    ),
    "VOC: an encoding that is not declared": Case(
        _gbk_without_declaration,
        refused=r"a\.xml: expected a VOC annotation, found byte 0x\w\w, which is not UTF-8, and no encoding",
    ),
    "VOC: images without XML": Case(
        files_of(
            {"images/a.jpg": "image", "images/b.jpg": "image", "images/c.jpg": "image", "annots/a.xml": voc()}
            | {"annots/b.xml": voc(boxes=[])}
        ),
        {"images/a.jpg": [CAT], "images/b.jpg": []},
        findings=frozenset({"unlabelled-image"}),
    ),
    "VOC and COCO": Case(
        files_of({"images/a.jpg": "image", "annots/a.xml": voc(), "all.json": coco([("a.jpg", SIZE)], [(1, 1, BOX)])}),
        refused=r"expected one format, found voc .* and coco .*name the format: --format or data\.format",
    ),
    "VOC and a website": Case(
        files_of({"images/a.jpg": "image", "annots/a.xml": voc(), "_config.yml": "title: x\ntheme: y\n"}),
        boxes_of("images/a.jpg"),
    ),
}
