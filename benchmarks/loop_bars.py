"""What loops are to show, beside what loops.py measured: each bar with its number, met or missed."""

from __future__ import annotations

from typing import Any

NOISE = 0.95  # a ratio of times below 1 by less than this is noise
FAMILIES = ("rk4", "lstm")  # scans that have to be twice as fast, in 0.4 of the memory


def bars(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of the sections that were measured, each a name, what was got, and whether it is met."""
    found = []

    def bar(name: str, got: str, met: bool) -> None:
        found.append({"bar": name, "got": got, "met": bool(met)})

    for row in results.get("scan", ()):
        name, faster, memory = row["program"], row["ratio"], row["memory"]
        if name.startswith(FAMILIES):
            share = memory["gradlab"] / memory["jax"]
            bar(f"{name}: 2× faster than jax.grad", f"{faster['jax']:.2f}×", faster["jax"] >= 2)
            bar(f"{name}: 0.4 of jax.grad's memory", f"{share:.2f}", share <= 0.4)
        least = min(faster["jax"], faster["jax.checkpoint"])
        bar(f"{name}: not slower than the better of JAX's two", f"{least:.2f}×", least >= NOISE)
    rows = results.get("while", ())
    if rows:
        error = max(row["error"] for row in rows)
        bar("while_loop: exact for 0, 1, 7, 353, 100000 trips", f"error {error:.0e}", error < 1e-10)
        for kind in dict.fromkeys(row["program"].rsplit(",", 1)[0] for row in rows):
            sizes = [row["memory"]["gradlab"] for row in rows if row["program"].startswith(kind + ",")]
            bar(f"{kind}: memory flat in the trips", f"{min(sizes)} to {max(sizes)} bytes", min(sizes) == max(sizes))
        for row in rows:
            if "one parameter" in row["program"] and "353" in row["program"]:
                times = 1 / row["ratio"]["forward"]
                bar(f"{row['program']}: at most 4× forward mode's time", f"{times:.2f}×", times <= 4)
    python = results.get("python", {})
    for name in dict.fromkeys(row["program"] for row in python.get("first", ())):
        own = {row["steps"]: row["seconds"]["gradlab"] for row in python["first"] if row["program"] == name}
        if 1000 in own:
            bar(f"Python {name}, 1000 turns: first call 5 s", f"{own[1000]['total']:.2f} s", own[1000]["total"] <= 5)
        if 100 in own and max(own) > 1000:
            growth = own[max(own)]["compile"] / own[100]["compile"]
            bar(f"Python {name}: XLA's time flat from 100 to {max(own)} turns", f"{growth:.2f}×", growth <= 1.5)
        error = max(row["error"] for row in python["first"] if row["program"] == name)
        bar(f"Python {name}: equal to the scan's", f"error {error:.0e}", error < 1e-10)
    for row in python.get("minors", ()):
        bar(f"{row['program']}: first call 5× faster", f"{row['first']['ratio']:.1f}×", row["first"]["ratio"] >= 5)
        bar(f"{row['program']}: run 3× faster", f"{row['run']['ratio']:.1f}×", row["run"]["ratio"] >= 3)
    return found
