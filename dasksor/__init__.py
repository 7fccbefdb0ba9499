"""Large linear systems by successive over-relaxation (SOR) on Dask."""

from dasksor import config, problems
from dasksor.complementarity.lcp import LcpResult, lcp
from dasksor.complementarity.qp import QpResult, qp
from dasksor.engine.course import Measurement
from dasksor.errors import BlockError, NotConverged, SchedulerLostError
from dasksor.files import read, read_vector
from dasksor.lazy import sweep
from dasksor.planning.calibrate import calibrate
from dasksor.planning.machine import Machine
from dasksor.planning.plan import Plan, plan
from dasksor.preconditioner import preconditioner
from dasksor.prepared import Prepared, prepare
from dasksor.result import Result
from dasksor.resume import resume
from dasksor.rowaction.linprog import linprog
from dasksor.rowaction.reading import read_lp
from dasksor.simulate import Simulation, simulate
from dasksor.solve import solve
from dasksor.sources import from_blocks
from dasksor.status import Status
from dasksor.system import LinearSystem

config.register()

__version__ = "0.1.0"

__all__ = [
    "BlockError",
    "LcpResult",
    "LinearSystem",
    "Machine",
    "Measurement",
    "NotConverged",
    "Plan",
    "Prepared",
    "QpResult",
    "Result",
    "SchedulerLostError",
    "Simulation",
    "Status",
    "calibrate",
    "from_blocks",
    "lcp",
    "linprog",
    "plan",
    "preconditioner",
    "prepare",
    "problems",
    "qp",
    "read",
    "read_lp",
    "read_vector",
    "resume",
    "simulate",
    "solve",
    "sweep",
]
