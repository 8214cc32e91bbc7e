"""Looks at a training loop that is not gantools' own: spectra and verdicts on copies, which leave the loop alone."""
