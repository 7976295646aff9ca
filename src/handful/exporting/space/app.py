"""A page that draws pictures by seed, with truncation and classes."""

import random
from pathlib import Path
from typing import Any

try:
    from draw import Drawing  # beside this file, in the folder of a Space
except ImportError:
    from handful.exporting.space.draw import Drawing

MODEL = Path(__file__).with_name("model.onnx")

LARGEST_SEED = 2**31

GRID = 8
"""Pictures drawn at once, of a seed and those after it."""


def page(model: Path = MODEL) -> Any:  # noqa: ANN401
    """Return the page as Gradio blocks."""
    import gradio
    from PIL import Image

    drawing = Drawing(model)

    def draw(seed: float, truncation: float, class_name: str | None = None) -> list[tuple[Image.Image, str]]:
        chosen = class_name if class_name in drawing.classes else None
        drawn = [(number, drawing(number, truncation, chosen)) for number in range(int(seed), int(seed) + GRID)]
        return [(Image.fromarray(picture.squeeze()), f"seed {number}") for number, picture in drawn]

    with gradio.Blocks(title="handful") as blocks:
        with gradio.Row():
            inputs: list[Any] = [
                gradio.Number(0, label="Seed", precision=0, minimum=0),
                gradio.Slider(0, 1, 1.0, label="Truncation: lower is cleaner and more alike"),
            ]
            if drawing.classes:
                inputs.append(gradio.Dropdown(["all", *drawing.classes], value="all", label="Class"))
            other = gradio.Button("Other seeds")
        gallery = gradio.Gallery(columns=4, label="Pictures", format="png")
        for entry in inputs:
            entry.change(draw, inputs, gallery)
        other.click(lambda: random.randrange(LARGEST_SEED), None, inputs[0])
        blocks.load(draw, inputs, gallery)
    return blocks


if __name__ == "__main__":
    page().launch()
