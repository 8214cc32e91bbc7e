"""The entry point `tensorboard_plugins`, which every TensorBoard start on this machine imports."""

import logging
from typing import Any

from tensorboard.plugins import base_plugin

from gantools.board.live import PLUGIN

STEPS_KEPT = 2000


class Loader(base_plugin.TBLoader):
    """Loads the tab of spectra; TensorBoard starts without the tab if that fails."""

    def fix_flags(self, flags: Any) -> None:
        """Keep as many looks and verdicts of a tag as a long run has, where the user has not said how many."""
        # TensorBoard would keep a random hundred of them, or ten.
        flags.samples_per_plugin = {PLUGIN: STEPS_KEPT, "text": STEPS_KEPT} | (flags.samples_per_plugin or {})

    def load(self, context: Any) -> base_plugin.TBPlugin | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the tab, or None."""
        try:
            from gantools.board.live.tab import SpectraTab

            return SpectraTab(context)
        except Exception as error:  # whatever it is, other people's TensorBoard has to start
            logging.getLogger(__name__).warning("The gantools tab is not shown: %s: %s", type(error).__name__, error)
            return None
