"""What every daemon of the project has: a configuration file, HTTP control, pushed status, a ready line."""

from .board import StatusBoard
from .client import DaemonClient, Watch
from .config import ConfigError, HttpConfig, Model, check_config, is_loopback, load_config
from .process import Ready, announce, on_signal, read_ready
from .server import Command, ControlServer, Document

__all__ = [
    "Command",
    "ConfigError",
    "ControlServer",
    "DaemonClient",
    "Document",
    "HttpConfig",
    "Model",
    "Ready",
    "StatusBoard",
    "Watch",
    "announce",
    "check_config",
    "is_loopback",
    "load_config",
    "on_signal",
    "read_ready",
]
