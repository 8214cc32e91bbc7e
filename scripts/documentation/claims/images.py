"""Claims about GANs on images, with the numbers of their study."""

from pathlib import Path

from images import image_gans

from claims import Row, compared, read

# A cell, its baseline, the words between, and whose claim it is.
CLAIMS = (
    ("consensus", "simultaneous", "consensus comes nearer to the images held out than simultaneous gradient",
     "after arXiv:1705.10461"),
    ("consensus", "alternating", "consensus comes nearer to the images held out than alternating gradient with R1",
     "ours"),
    ("consensus, esp", "consensus", "players with ESP come nearer to the images held out than with ReLU, under "
     "consensus", "ours"),
    ("simultaneous, unitary", "simultaneous", "a unitary generator comes nearer to the images held out than a real one "
     "of as many real units, under simultaneous gradient", "ours"),
    ("simultaneous, unitary", "simultaneous, complex", "a unitary generator comes nearer to the images held out than "
     "the same with free weights, under simultaneous gradient", "ours"),
)  # fmt: skip
BETTER = {"coverage": 1, "log kernel": -1}  # the sign of what is nearer


def image_rows(out: Path) -> list[Row]:
    """Return the rows of the study where its numbers are in a folder."""
    if not (out / f"{image_gans.STUDY.name}.json").exists():
        return []
    results, rows = read(image_gans.STUDY, image_gans.PAGE, out), []
    for cell, baseline, words, source in CLAIMS:
        for data, column in image_gans.COMPARED.items():
            text, verdict = compared(results, f"{data}, {cell}", f"{data}, {baseline}", column, BETTER[column])
            found = f"{image_gans.COLUMNS[column]} {text}"
            claim = f"On {image_gans.WORDS[data]} {words} ({image_gans.STEPS} steps)"
            rows.append(Row(claim, source, found, len(results.study.seeds), verdict, image_gans.STUDY.name))
    return rows
