"""Procedural RGB-infrared pairs of street scenes: one geometry, seen twice.

A scene is a list of polygons in metres before a pinhole camera (`things`, `street`), each with its
properties in both modalities: albedo, pattern and glow for the visible picture, temperature for the
infrared one. The polygons are painted far to near as *numbers* into one raster per camera
(`camera`); colours, textures, light and heat are then looked up per pixel (`light`). So masks and
boxes are exact (integer vertices from IEEE + - * / only, no transcendental function decides them)
and depend on no setting, because they belong to the infrared camera, which never moves.
"""

# ruff: noqa: F401
from freqkd_lite.scenes.scene import SIZE, Scene, SceneSettings, render_scene
from freqkd_lite.scenes.things import CLASSES, GENERATOR_VERSION, MASK_CLASSES
