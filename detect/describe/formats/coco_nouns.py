"""Nouns that name one of COCO's 80 classes, and where they stand in a sentence.

The table is short on purpose: a word is in it where it nearly always means the class. "Glass" (a wine glass, a window,
spectacles), "orange" (mostly a color), "plant" without a pot and "screen" are not.
"""

from __future__ import annotations

from collections.abc import Sequence

# The words of each class beside its own name, in the singular: of several words the last has the plural.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": (
        *("man", "woman", "child", "boy", "girl", "guy", "lady", "gentleman", "kid", "baby", "toddler", "rider"),
        *("skier", "snowboarder", "skateboarder", "surfer", "batter", "pitcher", "catcher", "umpire", "player"),
        *("baseball player", "tennis player", "soccer player"),
    ),
    "bicycle": ("bike",),
    "car": ("automobile", "taxi", "cab", "suv", "sedan"),
    "motorcycle": ("motorbike", "scooter", "moped"),
    "airplane": ("plane", "aeroplane", "jet", "jetliner", "airliner", "aircraft", "biplane"),
    "bus": ("double decker",),
    "train": ("locomotive",),
    "truck": ("pickup",),
    "boat": ("sailboat", "canoe", "kayak", "ship", "ferry", "rowboat", "yacht"),
    "traffic light": ("traffic signal", "stoplight", "stop light"),
    "fire hydrant": ("hydrant",),
    "stop sign": (),
    "parking meter": (),
    "bench": (),
    "bird": ("seagull", "pigeon", "duck", "goose", "parrot", "owl", "eagle", "swan", "pelican", "penguin"),
    "cat": ("kitten", "kitty"),
    "dog": ("puppy", "pup"),
    "horse": ("pony", "foal"),
    "sheep": ("lamb", "ram"),
    "cow": ("bull", "calf", "ox", "cattle"),
    "elephant": (),
    "bear": ("polar bear", "grizzly"),
    "zebra": (),
    "giraffe": (),
    "backpack": ("knapsack", "rucksack"),
    "umbrella": ("parasol",),
    "handbag": ("purse",),
    "tie": ("necktie",),
    "suitcase": ("luggage",),
    "frisbee": (),
    "skis": ("ski",),
    "snowboard": (),
    "sports ball": ("ball", "soccer ball", "tennis ball", "soccerball"),
    "kite": (),
    "baseball bat": ("bat",),
    "baseball glove": ("mitt", "catcher mitt"),
    "skateboard": ("skate board",),
    "surfboard": ("surf board",),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "bottle": (),
    "wine glass": ("glass of wine",),
    "cup": ("mug",),
    "fork": (),
    "knife": (),
    "spoon": (),
    "bowl": (),
    "banana": (),
    "apple": (),
    "sandwich": (),
    "orange": (),
    "broccoli": (),
    "carrot": (),
    "hot dog": ("hotdog",),
    "pizza": (),
    "donut": ("doughnut",),
    "cake": ("cupcake",),
    "chair": ("armchair",),
    "couch": ("sofa", "loveseat"),
    "potted plant": ("houseplant", "house plant"),
    "bed": (),
    "dining table": ("table", "kitchen table"),
    "toilet": (),
    "tv": ("television", "tv set"),
    "laptop": ("laptop computer",),
    "mouse": ("computer mouse",),
    "remote": ("remote control", "wiimote"),
    "keyboard": (),
    "cell phone": ("cellphone", "phone", "smartphone", "mobile phone"),
    "microwave": ("microwave oven",),
    "oven": ("stove",),
    "toaster": (),
    "sink": (),
    "refrigerator": ("fridge",),
    "book": (),
    "clock": ("clock tower",),
    "vase": (),
    "scissors": (),
    "teddy bear": ("teddy",),
    "hair drier": ("hair dryer", "blow dryer"),
    "toothbrush": ("tooth brush",),
}
_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "gentleman": "gentlemen",
    "child": "children",
    "goose": "geese",
    "calf": "calves",
    "ox": "oxen",
    "knife": "knives",
    "mouse": "mice",
    "sheep": "sheep",
    "cattle": "cattle",
    "aircraft": "aircraft",
    "luggage": "luggage",
    "skis": "skis",
    "scissors": "scissors",
    "broccoli": "broccoli",
}
_PLURAL_ALONE = frozenset({"orange"})  # the singular is mostly a color
# Longer phrases, in the singular, that contain a word of the table and do not mean its class.
OTHER_MEANINGS = (
    *("bus stop", "bus station", "train station", "train track", "railroad track", "car seat", "dog house"),
    *("bird house", "boat house", "toilet paper", "toilet seat", "table cloth", "horse back", "tie dye"),
)


def plural(noun: str) -> str:
    """Return the plural of a noun of the table; of several words, that with the plural of the last."""
    first, blank, last = noun.rpartition(" ")
    if last in _IRREGULAR:
        ending = _IRREGULAR[last]
    elif last.endswith("y") and last[-2] not in "aeiou":
        ending = f"{last[:-1]}ies"
    else:
        ending = f"{last}es" if last.endswith(("s", "x", "ch", "sh")) else f"{last}s"
    return f"{first}{blank}{ending}"


def _make_table() -> dict[tuple[str, ...], str]:
    """Return the class of each phrase, as its words; "" for a phrase of another meaning."""
    table: dict[tuple[str, ...], str] = {}
    for phrase in OTHER_MEANINGS:
        table[tuple(phrase.split())] = table[tuple(plural(phrase).split())] = ""
    for name, synonyms in SYNONYMS.items():
        for noun in (name, *synonyms):
            forms = {plural(noun)} if noun in _PLURAL_ALONE else {noun, plural(noun)}
            for form in forms:
                table.setdefault(tuple(form.split()), name)
    return table


NOUNS = _make_table()
_MAX_WORDS = max(map(len, NOUNS))


def find_nouns(tokens: Sequence[str]) -> list[tuple[tuple[int, ...], str]]:
    """Return the nouns of a sentence that name a COCO class: the indices of their words, and the class.

    Of phrases that begin at one word the longest counts, so that a hot dog is no dog and a bus stop no bus.
    """
    nouns = []
    first = 0
    while first < len(tokens):
        longest = min(_MAX_WORDS, len(tokens) - first)
        length = next((n for n in range(longest, 0, -1) if tuple(tokens[first : first + n]) in NOUNS), 0)
        name = NOUNS.get(tuple(tokens[first : first + length]), "")
        if name:
            nouns.append((tuple(range(first, first + length)), name))
        first += max(1, length)
    return nouns
