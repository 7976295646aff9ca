"""Nodes for ComfyUI that draw pictures from a model of handful."""

from .nodes import DrawPictures, LoadModel

NODE_CLASS_MAPPINGS = {"HandfulLoadModel": LoadModel, "HandfulDrawPictures": DrawPictures}

NODE_DISPLAY_NAME_MAPPINGS = {
    "HandfulLoadModel": "Load model (handful)",
    "HandfulDrawPictures": "Draw pictures (handful)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
