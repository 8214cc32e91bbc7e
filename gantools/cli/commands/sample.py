"""`gantools sample`: samples of a run's generator, as a picture and as .npy."""

import dataclasses
import io
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from gantools.board.pictures import png, samples_picture
from gantools.cli.arguments import Checkpoint, Code, Trust
from gantools.errors import GantoolsError
from gantools.runs.load import load
from gantools.runs.sampling import reference
from gantools.runs.store.atomic import unwritable, write_atomically


@dataclasses.dataclass
class SampleArguments:
    """Samples of a run's generator: a picture and a .npy file.

    Attributes:
        run: the run folder.
        n: how many samples.
        seed: of the latents.
        average: whether to sample the average of the iterates, where the run kept one.
        out: file name without ending, with "-STEP" added for --checkpoint all; by default RUN/samples-STEP.
    """

    run: Annotated[str, tyro.conf.Positional]
    n: int = 64
    checkpoint: Checkpoint = "last"
    seed: int = 0
    average: bool = True
    device: str = "auto"
    out: Path | None = None
    code: Code = None
    trust: Trust = False


def run(argv: list[str]) -> int:
    """Write samples of a run."""
    args = tyro.cli(SampleArguments, args=argv, prog="gantools sample")
    if args.n < 1:
        raise GantoolsError(f"--n is {args.n}: ask for at least one sample.")
    run = load(args.run, device=args.device, code=args.code, trust=args.trust)
    for at in run.each(run.chosen_steps(args.checkpoint)):
        step = at.step
        samples = at.sample(args.n, args.seed, args.average).numpy()
        path = args.out or run.path / f"samples-{step}"
        if args.out and args.checkpoint == "all":
            path = path.with_name(f"{path.stem}-{step}")
        real = reference(run.experiment, 512)
        assert real is not None
        try:
            array = io.BytesIO()
            np.save(array, samples)
            title = f"{run.path.name}, step {step}"
            picture = samples_picture(samples, real.numpy(), title)
            write_atomically(path.with_suffix(".npy"), array.getvalue())
            write_atomically(path.with_suffix(".png"), png(picture))
        except OSError as error:
            raise unwritable(path, error) from None
        print(f"{len(samples)} samples of step {step}: {path.with_suffix('.png')}, {path.with_suffix('.npy')}")
    return 0
