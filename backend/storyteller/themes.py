"""Things, places and skills that wishes are about, and the props that stand around in every story."""

# ruff: noqa: E501, SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

SKILLS = (
    "fly|sing|swim|dance|read|juggle|whistle|paint|cook|write poems|play the violin|play the piano|ride a bicycle|"
    "climb trees|tell jokes|skate|ski|speak with birds|bake bread|sail|draw|count to a million|stand on one leg|"
    "walk on stilts|keep a secret|roar|laugh out loud|play chess|knit|do magic|speak French|write code|drive a train|"
    "box|jump over the moon|be brave|sleep at night|be a knight|catch the wind|run very fast|play football|sew|drum"
).split("|")
LOST_THINGS = (
    "silver key|music box|red scarf|brass compass|blue button|wooden whistle|grandmother's ring|little lantern|"
    "glass marble|golden needle|cracked teacup|tin drum|family clock|old map|favourite spoon|seashell comb|green umbrella|"
    "copper bell|left boot|paper crown|story book|lucky coin|magic lamp|gold watch|treasure|pocket mirror|white glove"
).split("|")
FAR_PLACES = (
    "the sea|the moon|the top of the mountain|the end of the rainbow|the northern lights|the great waterfall|the desert|"
    "the first snow|the king's garden|the other side of the river|the city of glass|the stars up close|the whale road|"
    "the big forest|the circus|the world|the ocean|the house of the wind|the sunken tower|the island of bells"
).split("|")
MAKINGS = (
    "boat|bridge|kite|quilt|clock|cake|flying machine|lantern|violin|tree house|rocking chair|pair of wings|coat|sledge|"
    "robot|garden|windmill|raft|telescope|carousel|snow globe|puppet|pie|birdhouse|drum|pair of dancing shoes|hat|ladder"
).split("|")
CONTESTS = (
    "spring race|singing contest|great pie contest|kite battle|boat race|dancing prize|spelling match|lantern parade|"
    "pumpkin fair|chess tournament|sheep show|sandcastle contest|whistling match|snow race|storytelling night"
).split("|")
FEARS = "the dark|thunder|deep water|high places|strangers|the cellar|the old forest|loud noises|spiders|the sea".split(
    "|"
)
FOUND_THINGS = (
    "speckled egg|letter without a name|fallen star|silver feather|lost child's mitten|tiny crown|sealed bottle|"
    "sleeping bird|wooden leg|purse of coins|suitcase|golden ring|baby dragon|wet kitten|violin bow|wedding shoe"
).split("|")
SOUNDS = "humming|knocking|singing|sighing|ticking|laughing|whispering|ringing|snoring|weeping|tapping|fluting".split(
    "|"
)
SOUND_SPOTS = (
    "in the well|behind the wall|under the stairs|in the chimney|under the bridge|in the bell tower|at the old mill|"
    "beneath the floor|in the hollow oak|on the roof|in the attic|behind the bakery|inside the big clock"
).split("|")
AILING = (
    "apple tree|river|garden|tower clock|fountain|wheat field|rose bush|beehive|lighthouse lamp|village well|oak tree|"
    "vine|lemon tree|mill wheel|weathervane|pear tree|herb bed|carousel"
).split("|")

SPOTS = (
    "market square|churchyard|mill pond|orchard|old bridge|harbour wall|hay barn|kitchen garden|well|bell tower|stable|"
    "schoolhouse|inn|ferry landing|stone gate|blackberry hedge|willow|bakery|chestnut tree|railway station|haystack|"
    "rope bridge|woodshed|chicken coop|town clock|boathouse|vineyard|garden wall|watermill|post office|lamp post|"
    "duck pond|cabbage field|iron fence|fish market|tea house|rowing boat|crossroads|stone lion|cherry tree"
).split("|")
SMALL_THINGS = (
    "walnut|button|crumb|pebble|plum stone|thimble|feather|acorn|teaspoon|snowflake|breadcrumb|poppy seed|ribbon|bean|"
    "postage stamp|paper boat|dried pear|honey cake|clothes peg|ball of wool|tin whistle|candle end|hazelnut|pine cone|"
    "blue marble|cherry|raisin bun|matchbox|piece of chalk|pocket mirror|jam tart|peppermint|shoelace|spool of thread"
).split("|")
BIG_THINGS = "wheel of cheese|church bell|cartwheel|pumpkin|haystack|whale|wardrobe|barn door|feather bed|cow".split(
    "|"
)
BENDY = "willow branch|reed|young birch|fishing rod|blade of grass|cat's tail|fiddle string".split("|")
RED = "radish|beetroot|tomato|cherry|poppy|postbox".split("|")
SLOW = "Sunday afternoon|snail|hay cart|full moon|cold honey|wedding march".split("|")
WATCHERS = (
    "owls|crickets|bats|stars|fireflies|frogs|geese|moths|swallows|gulls|cats|sparrows|hens|starlings|hedgehogs|cows|"
    "mice|pigeons|rooks|ducks|bees|goats"
).split("|")
