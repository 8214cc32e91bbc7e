"""Published models, by what they read or are; imports none of them."""

from pathlib import Path


def modules() -> list[str]:
    """Return the names of the modules that hold entries, such as "vision" or "plain.images"."""
    folder = Path(__file__).parent
    files = [path.relative_to(folder).with_suffix("") for path in folder.rglob("[a-z]*.py")]
    return sorted(".".join(file.parts) for file in files)
