"""English words that stand for numbers, units, signs of arithmetic and negations. Tables only."""

from __future__ import annotations

from typing import Final


def _words(line: str) -> list[str]:
    return line.split()


SMALL: Final = {
    word: value
    for value, word in enumerate(
        _words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
TENS: Final = {
    word: 10 * value
    for value, word in enumerate(_words("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
SCALES: Final = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINALS: Final = {
    word: value
    for value, word in enumerate(
        _words(
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
        ),
        start=1,
    )
}
QUANTITIES: Final = frozenset(
    _words("half quarter once twice thrice single double triple quadruple dozen dozens pair both")
)
ROMAN: Final = {
    word: value
    for value, word in enumerate(
        _words("ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"), start=2
    )
    if len(word) > 1  # a lone v or x is a letter more often than a number
}
CURRENCIES: Final = frozenset("$€£")
OPERATORS: Final = {"plus": "+", "minus": "-", "times": "*", "multiplied": "*", "×": "*", "divided": "/", "÷": "/"}

_UNIT_FORMS: Final = (
    "% percent pct",
    "mg milligram milligrams",
    "g gram grams gramme grammes",
    "kg kilogram kilograms kilo kilos",
    "lb lbs pound pounds",
    "oz ounce ounces",
    "ml milliliter milliliters millilitre millilitres",
    "l liter liters litre litres",
    "mm millimeter millimeters millimetre millimetres",
    "cm centimeter centimeters centimetre centimetres",
    "m meter meters metre metres",
    "km kilometer kilometers kilometre kilometres",
    "ft foot feet",
    "mi mile miles",
    "ms millisecond milliseconds",
    "s sec secs second seconds",
    "min mins minute minutes",
    "h hr hrs hour hours",
    "d day days",
    "week weeks",
    "month months",
    "y yr yrs year years",
    "kb kilobyte kilobytes",
    "mb megabyte megabytes",
    "gb gigabyte gigabytes",
    "tb terabyte terabytes",
    "c celsius °c",
    "f fahrenheit °f",
    "k kelvin",
    "$ usd dollar dollars",
    "€ eur euro euros",
    "£ gbp",
    "am",
    "pm",
)
UNITS: Final = {form: forms.split()[0] for forms in _UNIT_FORMS for form in forms.split()}
"""Every form of a unit to its shortest one."""

NEGATIONS: Final = frozenset(
    _words(
        "not no never none nothing nobody nowhere neither nor without cannot non nope hardly barely unless except "
        "lack lacks lacking"
    )
)
BARE_CONTRACTIONS: Final = frozenset(
    _words(
        "aint arent cant couldnt darent didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt neednt oughtnt "
        "shant shouldnt wasnt werent wont wouldnt"
    )
)
"""Written without their apostrophe."""
