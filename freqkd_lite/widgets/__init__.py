"""Widgets that answer while they are dragged, in the lab and in a page without a kernel."""

from freqkd_lite.widgets.fader import Fader, fader, record

__all__ = ["Fader", "fader", "record"]
