"""Commands that make pictures: generate, interpolate, mix, project, directions, latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful.cli.command import Answer, Call, command
from handful.config.text import option, parse_seeds
from handful.errors import UsageError


@command(
    "Make pictures", "sampling.generate:generate", example="handful generate runs/photos --seeds 0-63 --out pictures"
)
def generate(call: Call, seeds: str = "0-15") -> Answer:
    """Draw pictures from a trained generator.

    A picture depends on the model and its seed only.

    Args:
        seeds: Pictures to draw: seeds, ranges and latent files, such as 0-63,100,face.safetensors.
    """
    listed = None if ".safetensors" in seeds else parse_seeds(seeds)
    files = call(seeds=listed or seeds)
    what = f"pictures of {seeds}" if listed is None else f"{len(listed)} pictures"
    places = " and ".join(str(call[name]) for name in ("out", "grid") if call[name] is not None)
    return Answer({"source": str(call["source"]), "files": [str(file) for file in files]}, f"{what} in {places}")


@command(
    "Make pictures",
    "explore.interpolate:interpolate",
    example="handful interpolate runs/photos --seeds 0-7 --out walk.mp4",
)
def interpolate(call: Call, progress: bool = False) -> Answer:
    """Make a film in which pictures turn into each other.

    With --progress: a film of a run as it learned. See docs/explore.md.

    Args:
        progress: Show the pictures of the seeds at each checkpoint of a run, instead of a walk. Train with a high
            --keep for that.
    """
    if progress:
        idle = {"frames", "loop", "ease", "speed", "noise", "grid", "random", "weights"}
        for name in idle & call.changed:
            raise UsageError(f"{option(name)}: has no effect with --progress; leave one of them out")
        film = call("training.timelapse:video_of_run", run=call["source"], seeds=call["seeds"] or "0-15")
    else:
        film = call()
    return Answer({"source": str(call["source"]), "film": str(film)}, f"film in {film}")


@command(
    "Make pictures",
    "explore.mix:write_mixes",
    example="handful mix runs/photos --content 0-3 --style 4-9 --out mix.png",
)
def mix(call: Call) -> Answer:
    """Draw pictures with the colours and textures of others.

    Low-resolution maps of the style set the gates of the content (Skip-Layer Excitation).
    """
    file = call()
    return Answer({"source": str(call["source"]), "file": str(file)}, f"mixed pictures in {file}")


@command(
    "Make pictures",
    "explore.inversion:write_projections",
    "explore.project:Effort",
    example="handful project runs/photos portrait.jpg --out projected",
)
def project(
    call: Call, photos: tuple[Path, ...], study: bool = False, holdout: Path | None = None, most: int = 16
) -> Answer:
    """Find the latents whose pictures are nearest to photos.

    Other commands take the latent files as seeds.

    Args:
        photos: Picture files, or folders of them; with --study the folder of training images.
        study: Test for memorisation: project training images and held-out images, and compare.
        holdout: With --study: a folder of images that were not trained on. Default: those that the run held back.
        most: With --study: images of each of the two sets.
    """
    if study:
        return compare(call)
    if holdout is not None:
        raise UsageError(f"--holdout {holdout}: has an effect with --study only; add that, or leave it out")
    from handful.explore.inversion import figures

    projections = call(effort=call("explore.project:Effort"))
    lines = [f"{projection.name}: {projection.stages[-1].measured}" for projection in projections]
    lines.append(f"latent files and pictures in {call['out']}")
    data = {"out": str(call["out"]), "photos": [figures(projection) for projection in projections]}
    return Answer(data, "\n".join(lines))


def compare(call: Call) -> Answer:
    """Make the study of ``project --study``."""
    if len(call["photos"]) != 1 or call["film"] or call["class_name"] is not None:
        raise UsageError("--study: takes one folder of training images, and neither --film nor --class")
    study = call("explore.study:study", images=call["photos"][0], effort=call("explore.project:Effort"))
    lines = [
        f"{row.stage}: {row.measure} {row.training:.3f} of training images, {row.unseen:.3f} of held-out images; "
        f"held-out images are farther in {row.farther:.0%} of all pairs (50%: no difference); copied: "
        f"{row.training_copied:.0%} of the training images, {row.unseen_copied:.0%} of the others"
        for row in study.summaries
    ]
    lines.append(f"pictures and figures in {call['out']}")
    return Answer({"out": str(call["out"])} | study.to_json(), "\n".join(lines))


@command("Make pictures", "explore.strips:write_directions", example="handful directions runs/photos --count 4")
def directions(call: Call) -> Answer:
    """Find directions along which pictures change in one way.

    Without examples, or from examples that have much or little of an attribute. See docs/explore.md.
    """
    examples = {"more", "less", "scores"} & call.changed
    if examples and {"by", "count"} & call.changed:
        raise UsageError("--by and --count: have no effect with examples; leave one or the other out")
    found = call()
    pairs = list(zip(found.names, found.measures, strict=True))
    if examples:
        words = f"explains {max(0.0, found.measures[0]):.0%} of the variance of the scores on held-out examples"
        if found.measures[0] <= 0:
            words += ": no better than guessing the mean. Look at the pictures; give more or clearer examples"
    else:
        what = {"maps": "low-resolution maps", "weights": "the first layer"}[call["by"]]
        words = f"change of {what}, relative to a random direction: "
        words += ", ".join(f"{name} {times:.1f}" for name, times in pairs)
    data: dict[str, Any] = {"out": str(call["out"])}
    data["directions"] = [{"name": name, "measure": measure} for name, measure in pairs]
    return Answer(data, f"{words}\ndirections and pictures in {call['out']}")


@command(
    "Make pictures",
    "explore.editing:write_latents",
    example="handful latents runs/photos --seeds 3,17 --blend 1 1 --out between.safetensors",
)
def latents(call: Call, names: str | None = None) -> Answer:
    """Write a latent file from seeds and other latents.

    They can be named, moved along directions, or blended into one.

    Args:
        names: New names, separated by commas. Default: unchanged; a seed is called by its number.
    """
    written = call(names=None if names is None else names.split(","))
    data = {"file": str(call["out"]), "names": list(written.names)}
    return Answer(data, f"{', '.join(written.names)} in {call['out']}")
