"""Text for people; the simulation does not use it."""


def line(title, value, digits):
    return f"{title}: {value:.{digits}f} s"
