"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in singular or plural.

    Args:
        number: The number.
        noun: Noun in the singular.
        plural: Noun in the plural, if it does not end with ``s``.

    Example:
        >>> counted(1, "photograph"), counted(2, "class", "classes")
        ('1 photograph', '2 classes')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
