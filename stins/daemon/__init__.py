"""What every daemon of the project has: a configuration file, HTTP control, pushed status, a ready line.

`server` and `client` are imported by name where they are used (`stins.daemon.server`, `stins.daemon.client`): the
recorder's writer, for one, which is to be there at once, has no use for either.
"""

from .board import StatusBoard
from .config import ConfigError, HttpConfig, Model, check_config, is_loopback, load_config
from .process import Ready, announce, on_signal, on_stdin_closed, read_ready

__all__ = [
    "ConfigError",
    "HttpConfig",
    "Model",
    "Ready",
    "StatusBoard",
    "announce",
    "check_config",
    "is_loopback",
    "load_config",
    "on_signal",
    "on_stdin_closed",
    "read_ready",
]
