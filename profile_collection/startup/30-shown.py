"""A table of each run; at a prompt a progress bar, short errors, Bluesky's magics (%ct, %mov) and ours. Needs RE."""

from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.magics import BlueskyMagics
from IPython import get_ipython

from stins_ophyd.progress import ProgressBars

bec = BestEffortCallback()
bec.disable_plots()  # bec.enable_plots() where there is a screen
RE.subscribe(bec)

shell = get_ipython()
if hasattr(shell, "register_magics"):  # a queue server has a stand-in for IPython, and nobody who looks
    RE.waiting_hook = ProgressBars()
    shell.register_magics(BlueskyMagics)
    shell.extension_manager.load_extension("stins_ophyd.magics")
    shell.extension_manager.load_extension("stins_ophyd.short_errors")  # %tb shows all of one
