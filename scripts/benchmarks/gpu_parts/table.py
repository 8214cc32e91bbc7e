"""The table of the GPU benchmark in Markdown."""

from __future__ import annotations

from typing import Any

MODELS = {"mlp": "MLP", "resnet18": "ResNet-18", "gpt": "GPT"}


def table(results: dict[str, Any]) -> str:
    """Return the results as a table, with device and versions above it."""
    stages = results["stages"]
    heads = []
    for name, title in MODELS.items():
        size = stages.get(f"gradient {name}", {}).get("parameters")
        heads.append(f"{title} {size / 1e6:.1f} M" if size else title)
    lines = [
        f"{results.get('device')}, PyTorch {results.get('torch')}, float32, TF32 off; commit {results.get('commit')}.",
        "",
        f"| | {' | '.join(heads)} |",
        "|---|" + "---|" * len(heads),
    ]
    rows = {
        "one gradient, g": lambda m: milliseconds(stages, f"gradient {m}", "seconds"),
        "a product: reverse, forward, replay, auto, compiled, g": lambda m: each_method(stages, m, "one"),
        "a column of a block of ten, g": lambda m: each_method(stages, m, "column_of_ten"),
        "ten leading": lambda m: leading(stages.get(f"leading {m}", {})),
        "of it outside products": lambda m: percentage(stages.get(f"leading {m}", {}), "outside"),
        "density, a step over its product": lambda m: density(stages.get(f"density {m}", {})),
        "index": lambda m: index(stages.get(f"index {m}", {})),
    }
    peers = sorted({name.split(" ", 2)[2] for name in stages if name.startswith("peer ")})
    for peer in peers:
        rows[f"ten leading, {peer}"] = lambda m, peer=peer: leading(stages.get(f"peer {m} {peer}", {}))
    lines += [f"| {what} | {' | '.join(cell(m) for m in MODELS)} |" for what, cell in rows.items()]
    return "\n".join([*lines, "", game(stages.get("dcgan", {}))])


def milliseconds(stages: dict[str, Any], stage: str, key: str) -> str:
    """Return a time in milliseconds."""
    value = stages.get(stage, {}).get(key)
    return "" if value is None else f"{1e3 * value:.2f} ms"


def each_method(stages: dict[str, Any], model: str, key: str) -> str:
    """Return the times of all methods in gradients."""
    g = stages.get(f"gradient {model}", {}).get("seconds")
    parts = []
    for method in ("reverse", "forward", "replay", "auto", "compiled"):
        value = stages.get(f"products {model} {method}", {}).get(key)
        parts.append(f"{value / g:.1f}" if value and g else "-")
    return " / ".join(parts)


def leading(stage: dict[str, Any]) -> str:
    """Return seconds, products and error of a search."""
    if not stage or "reason" in stage:
        return stage.get("reason", "")
    spent = f", {stage['products']} products" if "products" in stage else ""
    return f"{stage['seconds']:.2f} s{spent}, error {stage['error']:.0e}"


def percentage(stage: dict[str, Any], key: str) -> str:
    """Return a share in percent."""
    return f"{max(stage[key], 0):.0%}" if key in stage else ""


def memory(stage: dict[str, Any]) -> str:
    """Return the peak memory."""
    return f", {stage['memory']:.1f} GiB" if stage.get("memory") is not None else ""


def density(stage: dict[str, Any]) -> str:
    """Return the time of a step in products, and the memory."""
    if not stage or "reason" in stage:
        return stage.get("reason", "")
    return f"{stage['seconds'] / stage['products'] / stage['one']:.2f}{memory(stage)}"


def index(stage: dict[str, Any]) -> str:
    """Return time, memory and what was found."""
    if not stage or "reason" in stage:
        return stage.get("reason", "")
    return f"{stage['seconds']:.1f} s{memory(stage)}: {stage['text'].partition('. ')[0]}"


def game(stage: dict[str, Any]) -> str:
    """Return the sentence about the DCGAN."""
    if not stage or "reason" in stage:
        return stage.get("reason", "")
    ratio = stage["consensus"] / stage["simultaneous"]
    steps = f"simultaneous {1e3 * stage['simultaneous']:.1f} ms, consensus {1e3 * stage['consensus']:.1f} ms"
    return (
        f"DCGAN 64 x 64, 6.3 M parameters, batch 64: {steps} ({ratio:.1f} times); the Jacobian with twenty leading "
        f"eigenvalues {stage['seconds']:.1f} s{memory(stage)}."
    )
