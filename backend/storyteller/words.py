"""People, creatures and places: the words a story is peopled with.

Names come in two kinds: a few well-known ones that carry a gender, and an open set built from syllables, so that the
model learns to copy a name that it has never seen instead of reciting one that it knows.
"""

# ruff: noqa: E501, SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

import random
import zlib

HER_NAMES = (
    "Mara Lily Anna Emma Rosa Nora Clara Ada Ivy Ruth Sofia Lucy Alice Maya Elsa Hanna Greta Stella Zoe Mia Olivia Ella "
    "Sara Julia Maria Laura Lena Eva Ines Marta Amelia Grace Hazel Iris Jane Kate Leila Mabel Nina Olga Pia Rita Tess "
    "Una Vera Wilma Yuki Zara Fatima Aisha Priya Mei Ingrid Freya Sally Molly Betty Daisy Poppy Ruby Luna Flora Agnes"
).split()
HIS_NAMES = (
    "Tom Max Ben Sam Leo Finn Oscar Hugo Otto Karl Paul Peter John Jack Henry Arthur Felix Jonas Emil Anton Theo Noah "
    "Luke Adam David Daniel Ivan Omar Ali Raj Kenji Chen Diego Pablo Marco Luca Nico Rex Bruno Boris Milo Toby Charlie "
    "George Frank Walter Albert Edgar Oliver William James Robert Rufus Simon Victor Wilbur Basil Jasper Casper Hector"
).split()
_STARTS = (
    "B Br C Cr D Dr F Fl G Gr H J K Kl L M N P Pr Qu R S Sh Sk St T Th Tr V W Y Z A E I O U Al El Or Ar Um Is An Wen"
).split()
_VOWELS = "a e i o u ai ea ee ie oo ou a e i o".split()
_MIDDLES = "b d f g l ll m n nn nd p r rr s ss t tt v z ld lm nt rk rl st mb ng sh ph th w x".split()
_HER_ENDS = "a a ia ina ella ette elle y ie ara".split()
_HIS_ENDS = "o us in en er ick or an on ard im ok".split()

HER_KINDS = "girl|woman|old woman|grandmother|princess|queen|witch|nun|seamstress|milkmaid".split("|")
HIS_KINDS = "boy|man|old man|grandfather|prince|king|wizard|monk|knight|cowherd".split("|")
ROLES = (
    "baker|lighthouse keeper|clockmaker|fisher|shepherd|gardener|tailor|miller|carpenter|teacher|librarian|painter|"
    "postmaster|beekeeper|cook|potter|bell ringer|ferryman|sailor|toymaker|weaver|blacksmith|doctor|farmer|musician|"
    "chimney sweep|mapmaker|astronomer|juggler|shoemaker|candle maker|glassblower|piano tuner|train driver|pilot|"
    "scientist|student|nurse|pirate|captain|dancer|singer|poet|detective|inventor|engineer|programmer|astronaut|"
    "barber|butcher|plumber|firefighter|night watchman|traveller|merchant|hunter|giant|child|giantess|spy|clown|"
    "magician|goatherd|stonemason|umbrella mender|button seller|cheesemaker|kite maker|puppeteer|well digger"
).split("|")
ANIMALS = (
    "fox|cat|dog|mouse|rabbit|hedgehog|badger|otter|owl|crow|sparrow|duck|goose|hen|frog|toad|turtle|snail|bear|wolf|"
    "squirrel|mole|bat|donkey|horse|pony|goat|sheep|lamb|pig|cow|elephant|lion|tiger|monkey|penguin|whale|dolphin|crab|"
    "octopus|spider|bee|ant|beetle|butterfly|moth|firefly|dragon|unicorn|robot|ghost|troll|gnome|fairy|mermaid|snowman|"
    "scarecrow|parrot|pigeon|heron|swan|stork|seal|walrus|camel|giraffe|zebra|kangaroo|koala|panda|raccoon|moose|deer|"
    "kitten|puppy|chick|piglet|goldfish|salmon|lizard|snake|crocodile|hippo|teapot|cloud|little star|tin soldier|"
    "dinosaur|alien|monster|vampire|caterpillar|cricket|hamster|llama|raven|starfish|worm|weasel|yak"
).split("|")
MANNERS = (
    "young|small|shy|cheerful|curious|patient|stubborn|dreamy|quiet|careful|clumsy|kind|brave|poor|lonely|busy|gentle|"
    "forgetful|proud|sleepy|nimble|thoughtful|restless|merry|plain|tidy|hopeful|old|tired|clever"
).split("|")

PLACES = (
    "a [village|hamlet|cottage] at the foot of a [blue|green|sleeping|windy] [mountain|hill]",
    "a [crooked|narrow|red-roofed|wooden] house [by the sea|near the harbour|beside the canal|on the edge of the woods]",
    "a [grey|busy|small|forgotten] town where [it rained on most days|the bells rang late|everyone rose early|"
    "the streets smelled of bread|no two clocks agreed]",
    "a valley [full of|known for its|thick with] [apple trees|poppies|plum orchards|mist|clover|sheep]",
    "a city of [bridges|chimneys|towers|stairs|lanterns|canals]",
    "a [lighthouse|windmill|stone tower|cabin|lonely farm] [above the cliffs|at the end of the road|among the dunes|"
    "far from any neighbour]",
    "the [oldest|quietest|deepest|farthest] part of [the forest|the marsh|the city|the island|the moor]",
    "a castle [no bigger than a barn|shaped like a spoon|at the edge of the map|where the wind never slept]",
    "a [tiny|round|warm|drafty] room above [a bakery|a bookshop|the stables|the old theatre|the clock shop]",
)
PLACE_NOUNS = "town|village|city|land|county|valley".split("|")
REAL_PLACES = (
    "Paris London Berlin Rome Tokyo Lisbon Vienna Cairo Oslo Dublin Prague Delhi Lima Boston Texas Scotland Norway "
    "Japan France Italy Spain Iceland India Brazil Kenya Canada Chicago Athens Madrid Hamburg"
).split()
_PLACE_ENDS = "ton ford burg dale mere haven wick ville stead field by holm".split()

# kind, pronoun: a helper is met in the middle of a story and introduced there
HELPER_KINDS = (
    "heron|tortoise|barn owl|grey goose|carthorse|moth|field mouse|magpie|spotted toad|river otter|white goat|snail|"
    "tinker|ferrywoman|ragpicker|retired sea captain|travelling cook|grandmother|lamplighter|goose girl|letter carrier|"
    "night nurse|basket maker|blind fiddler|chestnut seller|stonecutter|schoolchild|fortune teller|rat catcher|"
    "deep-sea diver|snow plough driver|badger|old hound|swallow|hermit|puppet maker|washerwoman|small ghost|mole|crane"
).split("|")
HELPER_MANNERS = "old|tall|small|wise|muddy|sleepy|one-eyed|silver-haired|soft-spoken|cross|wandering|wet|round".split(
    "|"
)


def open_name(rng: random.Random, hers: bool) -> str:
    """A name made of syllables; its ending tells as much about the gender as endings ever do."""
    name = rng.choice(_STARTS) + (rng.choice(_VOWELS) if rng.random() < 0.9 else "a")
    if name[1:2].isupper():
        name = name.capitalize()
    name += rng.choice(_MIDDLES)
    if rng.random() < 0.15:
        name += rng.choice(_VOWELS) + rng.choice(_MIDDLES)
    return (name + rng.choice(_HER_ENDS if hers else _HIS_ENDS)).capitalize()


def held_out(name: str) -> bool:
    """Whether `name` is kept out of training, for prompts that judge the model (one name in sixteen)."""
    return zlib.crc32(name.encode()) % 16 == 0


def pick_name(rng: random.Random, hers: bool, unseen: bool = False) -> str:
    """A hero's or helper's name from the training set, or with `unseen` from the set held out."""
    while True:
        known = rng.random() < 0.35
        name = rng.choice(HER_NAMES if hers else HIS_NAMES) if known else open_name(rng, hers)
        if held_out(name) == unseen:
            return name


def open_kind(rng: random.Random) -> str:
    """A creature nobody has heard of ("grindle"), so that the model copies a word that it does not know."""
    return open_name(rng, rng.random() < 0.3).lower()


def open_place(rng: random.Random) -> str:
    """A place name, well known or made up."""
    if rng.random() < 0.35:
        return rng.choice(REAL_PLACES)
    start = rng.choice(_STARTS) + rng.choice(_VOWELS) + rng.choice(_MIDDLES)
    return (start + rng.choice(_PLACE_ENDS)).capitalize()
