"""What a data set is called: kind, kind:PATH or kind:option=value,option=value."""

import re


def split(spec):
    """ "market1501:/data/a:b" -> ("market1501", "/data/a:b"); without a colon the second is None."""
    if not isinstance(spec, str):
        raise TypeError(f"data must be a string such as synthetic, got {type(spec).__name__}")
    kind, colon, rest = spec.partition(":")
    return kind, rest if colon else None


def options(kind, text, known):
    """{name: value} of "identities=200,size=128x64"; known: {name: (function of a string, what it wants)}."""
    found = {}
    for item in text.split(",") if text else ():
        name, equals, value = item.partition("=")
        if not equals or name not in known:
            raise ValueError(
                f"{kind} takes {', '.join(f'{n}={w}' for n, (_, w) in known.items())}, got {item!r}"
            )
        if name in found:
            raise ValueError(f"{kind}: {name} is given twice")
        parse, wanted = known[name]
        try:
            found[name] = parse(value)
        except ValueError:
            raise ValueError(f"{kind}: {name} must be {wanted}, got {value!r}") from None
    return found


def whole(low, high):
    """A parser of whole numbers in low … high, and what it wants."""

    def parse(text):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return parse, f"{low}…{high}"


def height_width(low, high):
    """A parser of 128x64, and what it wants."""
    side, _ = whole(low, high)

    def parse(text):
        height, x, width = text.partition("x")
        if not x:
            raise ValueError(text)
        return side(height), side(width)

    return parse, f"HEIGHTxWIDTH in {low}…{high}"


def no_options(kind, text):
    if text is not None:
        raise ValueError(f"{kind} takes nothing after its name, got {kind}:{text}")


def checked_side(name, value):
    """height and width as load is given them."""
    if value is not None and (type(value) is not int or not 8 <= value <= 4096):
        raise ValueError(f"{name} must be a whole number in 8…4096, got {value!r}")
    return value
