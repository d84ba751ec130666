"""Which optimizer for which problem? Three methods on three problems from five starts each, and a report.

Run:  python examples/experiment.py        (writes experiment/index.html, and each picture beside it as a PNG)
All runs go into experiment/runs.sqlite. Stop it at any moment and start it again: what is there is not run twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import scipy.optimize
from threadpoolctl import threadpool_limits

from gradlab import optim
from gradlab.optim import problems

jax.config.update("jax_enable_x64", True)


def scipy_lbfgsb(fun, x0):
    with threadpool_limits(1, "blas"):  # on vectors this short, waking its threads costs more than the work
        return scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options={"gtol": 1e-6, "ftol": 0})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="starts a problem (default 5)")
    parser.add_argument("--budget", type=int, default=300, help="evaluations a run (default 300)")
    parser.add_argument("--out", type=Path, default=Path("experiment"), help="the folder (default experiment)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    found = optim.experiment(
        [problems.rosenbrock(), problems.beale(), problems.wood()],
        {
            "L-BFGS": "lbfgs",
            "trust region": "trust-region",
            "SciPy L-BFGS-B": scipy_lbfgsb,
        },
        seeds=options.seeds,
        budget=options.budget,
        path=options.out / "runs.sqlite",
    )
    print(found)
    print(f"report: {found.report(options.out)}")


if __name__ == "__main__":
    main()
