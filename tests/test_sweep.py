"""Sweeps: the grid, its plan, workers, and the states of members."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from experiments.command_line import main as command_line
from experiments.command_line.main import options_of
from experiments.command_line.sweep import main as sweep
from experiments.command_line.sweep import plan_of
from experiments.command_line.variations import split, values, varied
from nqs.files.directory import RunError, write_json
from nqs.jobs.claims import claimed, is_claimed
from nqs.jobs.collection import axis, collect
from nqs.jobs.plan import Members, read
from nqs.jobs.submission import queue, workers_here
from nqs.jobs.supervision import Crew, complete, rows
from nqs.jobs.workers import ATTEMPTS, Jobs, Worker, was_stopped
from nqs.runs.interrupts import signals

TRAP = options_of("harmonic_oscillator")
FEW = ["--n-walkers", "8", "--iterations", "3", "--burn-in", "2",
       "--evaluation-steps", "4", "--ansatz", "ffnn(hidden=(2,))"]  # fmt: skip
OVER = ("omega=1,2", "seed=0:2")


HERE = Jobs()


def plan(*over, arguments=FEW, jobs=HERE):
    return plan_of("harmonic_oscillator", TRAP, arguments, over or OVER, jobs)


@pytest.fixture
def members(tmp_path):
    plan().save(tmp_path / "sweep")
    (tmp_path / "sweep" / "jobs").mkdir()
    return Members(tmp_path / "sweep")


def finish(directory, energy=1.0):
    directory.mkdir(exist_ok=True)
    write_json(directory / "config.json", {"iterations": 3, "n_walkers": 8})
    result = {"iterations": 3, "energy": energy, "energy_error": 0.1, "n": 2}
    result |= {"energy_per_particle": energy / 2, "energy_per_particle_error": 0.05}
    result |= {"variance": 0.1, "acceptance": 0.5, "energy_unit": "hartree"}
    known = {"value": 1.0, "error": 0.0, "kind": "exact", "source": "theory"}
    result |= {"references": [known], "warnings": []}
    write_json(directory / "result.json", result)


class Script:
    """A worker whose runs end as told."""

    def __init__(self, *statuses):
        self.statuses, self.made = list(statuses), []

    def run(self, command, log, claim, look=None):
        directory = Path(command[command.index("--directory") + 1])
        self.made.append(directory.name)
        status = self.statuses.pop(0) if self.statuses else 0
        log.write_text("one line\nerror: no such thing\n")
        if status == 0:
            finish(directory)
        return status


def test_values_are_lists_or_ranges():
    assert values("omega=0.1, 0.28,1") == ("omega", ("0.1", "0.28", "1"))
    assert values("seed=0:3") == ("seed", ("0", "1", "2"))
    assert values("--n-walkers=10:31:10") == ("n_walkers", ("10", "20", "30"))
    assert values("ansatz.width=16|32") == ("ansatz.width", ("16", "32"))
    assert split("ffnn(hidden=(2, 2)),rbm('a,b')") == [
        "ffnn(hidden=(2, 2))",
        "rbm('a,b')",
    ]
    for text in ("omega", "omega=", "=1", "omega=1,,2", "seed=3:3"):
        with pytest.raises(ValueError, match="a variation must be"):
            values(text)


def test_fields_of_parts_replace_those_that_are_given():
    given = ["--ansatz", "ffnn(hidden=(2,))", "--n", "2"]
    assert varied(TRAP, given, {"ansatz.hidden": "(4, 4)", "n": "3"}) == [
        "--n", "3", "--ansatz", "ffnn(hidden=(4, 4))"]  # fmt: skip
    assert varied(TRAP, [], {"optimizer.schedule": "cosine"}) == [
        "--optimizer", "adam(schedule='cosine')"]  # fmt: skip
    both = {"optimizer.final": "0.1", "optimizer": "sgd", "check": "False"}
    assert varied(TRAP, ["--check"], both) == [
        "--no-check", "--optimizer", "sgd(final=0.1)"]  # fmt: skip


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["omgea=1,2"], "must be one of omega, .* got 'omgea'"),
        (["directory=a,b"], "an option to vary must be one of"),
        (["omega=1,x"], "omega=x: Error parsing --omega: .*'x'"),
        (["statistics=bosons,anyons"], "invalid choice 'anyons'"),
        (["omega=1,1"], "omega must have different values, got 1 twice"),
        (["omega=1,1.0"], "omega_1.0 is the same as omega_1"),
        (["omega=1", "omega=2"], "omega must be given once"),
        (["sweeps=1,0"], "sweeps must be an integer >= 1, got 0"),
        (["iterations=1,2"], "iterations must be given once, got --iterations"),
        (["n.up=1,8"], "n must be a part to have the field 'up'"),
        (["ansatz.hiden=1,2"], "has no field 'hiden'; it has hidden"),
        (["n=2,3", "d=1,4"], "d must be an integer >= 1 and <= 3, got 4"),
        ([], "sweep requires --over"),
    ],
)
def test_mistakes_in_a_grid_are_refused_before_anything_starts(over, message):
    with pytest.raises(ValueError, match=message):
        plan_of("harmonic_oscillator", TRAP, FEW, over, Jobs())


def test_series_are_no_members_of_a_sweep():
    config = options_of("electron_gas")
    with pytest.raises(ValueError, match="rs must have one value in each run"):
        plan_of("electron_gas", config, ["--rs", "1", "2"], ["seed=0:2"], Jobs())


def test_members_are_the_grid_as_command_lines(members):
    found = read(members.directory)
    assert found == plan()
    names = [f"omega_{omega}_seed_{seed}" for omega in "12" for seed in "01"]
    assert list(found.members) == names
    last = found.members["omega_2_seed_1"]
    assert last.arguments[-4:] == ("--omega", "2", "--seed", "1") and last.seed == 1


def test_another_plan_in_the_directory_is_refused(members, tmp_path):
    plan(jobs=Jobs(workers=1)).save(members.directory)  # elsewhere is no other plan
    with pytest.raises(RunError, match=r"over.omega\[1\] is '2' there, got '3'"):
        plan("omega=1,3", "seed=0:2").save(members.directory)
    with pytest.raises(RunError, match=r"arguments\[1\] is '8' there, got '16'"):
        more = [*FEW[:1], "16", *FEW[2:]]
        plan(*OVER, arguments=more).save(members.directory)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunError, match="exists already and holds no sweep"):
        plan().save(tmp_path / "other")


def test_a_sweep_that_was_killed_before_its_plan_may_be_started_again(tmp_path):
    (tmp_path / "sweep.json.tmp").write_text("{")
    plan().save(tmp_path)
    assert read(tmp_path) == plan()


def test_members_are_made_once_and_in_order(members):
    finish(members.directory / "omega_1_seed_1")
    worker = Script()
    members.work(worker)
    assert worker.made == ["omega_1_seed_0", "omega_2_seed_0", "omega_2_seed_1"]
    assert members.left() == []
    again = Script(1)
    members.work(again)
    # nor if another worker finished it between a look and a claim
    assert not members._made("omega_1_seed_0", again, set()) and again.made == []


def test_member_claimed_by_another_worker_is_left_to_it(members):
    worker = Script()
    with claimed(members.claim("omega_2_seed_0")):
        members.work(worker)
        assert members.running() == ["omega_2_seed_0"]
    assert "omega_2_seed_0" not in worker.made and len(worker.made) == 3


def test_killed_members_are_started_again_and_failures_keep_their_reason(members):
    killed = -signal.SIGKILL
    worker = Script(killed, 0, 1, *[killed] * ATTEMPTS, 143)
    members.work(worker)
    assert worker.made == [
        *["omega_1_seed_0"] * 2, "omega_1_seed_1",
        *["omega_2_seed_0"] * ATTEMPTS, "omega_2_seed_1"]  # fmt: skip
    found = {row.name: row for row in rows(members)}
    states = [row.status for row in found.values()]
    assert states == ["done", "failed", "failed", "pending"]  # 143 is a clean stop
    assert found["omega_1_seed_1"].history == "no such thing"
    assert members.left() == ["omega_2_seed_1"]


def test_states_of_members_are_those_of_their_files(members):
    assert {row.status for row in rows(members)} == {"pending"}
    finish(members.directory / "omega_1_seed_0", energy=2.5)
    with claimed(members.claim("omega_1_seed_1")):
        found = rows(members)
    assert [row.status for row in found] == ["done", "running", "pending", "pending"]
    assert found[0].energy == "2.50(10)"


CHILD = "import sys, time; print('ready', flush=True); time.sleep(60)"


def test_a_child_keeps_the_claim_of_a_killed_parent(tmp_path):
    path = tmp_path / "claim"
    with claimed(path) as descriptor:
        assert descriptor is not None
        child = subprocess.Popen([sys.executable, "-c", CHILD], pass_fds=[descriptor])
        with claimed(path) as second:
            assert second is None
    assert is_claimed(path)  # although this process has closed it
    child.kill()
    child.wait()
    assert not is_claimed(path)


LEFT_ALONE = """
import os, sys
from pathlib import Path
from nqs.jobs.claims import claimed
from nqs.jobs.workers import Worker

SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"

class Tasks:
    folder = Path(sys.argv[1])

    def work(self, worker):
        with claimed(self.folder / "a.lock") as claim:
            worker.run([sys.executable, "-c", SLEEP], self.folder / "a.log", claim)

Worker(Tasks(), 0, [min(os.sched_getaffinity(0))])()
"""


def test_run_of_a_killed_worker_keeps_its_claim_and_cores(tmp_path):
    log, locks = tmp_path / "a.log", [tmp_path / "a.lock", tmp_path / "worker_0.lock"]
    worker = subprocess.Popen([sys.executable, "-c", LEFT_ALONE, str(tmp_path)])
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.05)
    worker.kill()
    worker.wait()
    assert [is_claimed(lock) for lock in locks] == [True, True]
    os.kill(int(log.read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(is_claimed(lock) for lock in locks) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [is_claimed(lock) for lock in locks] == [False, False]


STOPPABLE = """
import signal, sys, time
stop = []
signal.signal(signal.SIGUSR1, lambda *_: stop.append(1))
print("ready", flush=True)
while not stop:
    time.sleep(0.01)
time.sleep(0.2)
print("saved", flush=True)
sys.exit(138)
"""


def test_run_of_a_worker_is_stopped_with_a_checkpoint_and_queued_again(members):
    log = members.log("a")
    worker = Worker(members, 0, patient=False)

    def look(stop):
        if log.exists() and "ready" in log.read_text():
            again = worker.checkpoint()  # as submitit does after a signal
            assert isinstance(again.function, Worker)
            assert "saved" in log.read_text()

    with claimed(members.claim("a")) as claim:
        command = [sys.executable, "-c", STOPPABLE]
        assert was_stopped(worker.run(command, log, claim, look))
    assert worker.pid is None


def test_runs_stop_after_the_signal_of_the_cluster():
    with signals() as caught:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
    assert caught == [signal.SIGUSR1]
    assert was_stopped(128 + signal.SIGUSR1) and was_stopped(-signal.SIGTERM)
    assert not was_stopped(1) and not was_stopped(-signal.SIGKILL)


def test_workers_share_the_cores():
    cores = sorted(os.sched_getaffinity(0))
    shares = Jobs().shares()
    assert [core for share in shares for core in share] == cores
    assert Jobs(workers=1).shares() == [tuple(cores)]
    assert Jobs(cores=len(cores)).shares() == [tuple(cores)]
    with pytest.raises(ValueError, match="workers and cores must share"):
        Jobs(workers=len(cores) + 1).shares()
    threads = Worker(Members(Path()), 0, cores=(0, 1)).environment()
    assert set(threads.values()) == {"2"} and "OMP_NUM_THREADS" in threads
    with pytest.raises(ValueError, match="partition requires --cluster slurm"):
        Jobs(partition="gpu")
    with pytest.raises(ValueError, match="time must be at least 5 minutes, got 2"):
        Jobs(cluster="slurm", time=2)
    with pytest.raises(ValueError, match="gpus on this machine requires workers"):
        Jobs(gpus=1)


def test_workers_have_gpus_of_their_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    jobs = Jobs(workers=1, gpus=2)
    (worker,) = workers_here(jobs, Members(Path()))
    assert worker.environment()["CUDA_VISIBLE_DEVICES"] == "3,5"
    with pytest.raises(RunError, match="1 workers with 3 GPUs require 3"):
        workers_here(Jobs(workers=1, gpus=3), Members(Path()))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (worker,) = workers_here(jobs, Members(Path()))
    assert worker.environment()["CUDA_VISIBLE_DEVICES"] == "0,1"
    (worker,) = workers_here(Jobs(workers=1), Members(Path()))
    assert "CUDA_VISIBLE_DEVICES" not in worker.environment()


def test_worker_waits_for_its_cores(members, monkeypatch):
    script = Script()
    monkeypatch.setattr(Worker, "run", lambda self, *given: script.run(*given))
    worker = Worker(members, 0, cores=Jobs(workers=1).shares()[0])
    thread = threading.Thread(target=worker)
    with claimed(members.folder / "worker_0.lock"):
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and script.made == []
    thread.join()
    assert len(script.made) == 4


def test_killed_workers_are_replaced(members, monkeypatch):
    started = []

    def job(killed):
        result = members.folder / f"result_{killed}"
        if not killed:
            result.touch()
        paths = types.SimpleNamespace(result_pickle=result)
        return types.SimpleNamespace(done=lambda: True, paths=paths)

    def start(jobs, workers, name):
        started.append(len(workers))
        return [job(killed=len(started) < 3) for _ in workers]

    monkeypatch.setattr("nqs.jobs.supervision.submit", start)
    crew = Crew(members, Jobs(workers=1), "mine", 4)
    assert crew.ended() and crew.ended()
    assert started == [1, 1, 1]


# submitit leaves the logs of this executor open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_debug_executor_makes_the_members(members, monkeypatch):
    def run(self, *arguments):
        return Script().run(*arguments)

    monkeypatch.setattr(Worker, "run", run)
    assert complete(members, Jobs(cluster="debug"), "test", lambda: []) == []
    assert [row.status for row in rows(members)] == ["done"] * 4


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands of SLURM that keep what they are given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {
        "srun": "exit 1",
        "sbatch": f"cp $1 {tmp_path}/script; echo Submitted batch job 12",
        "sacct": f"cat {tmp_path}/states",
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (tmp_path / "states").write_text(
        "JobID|State|NodeList\n"
        "12_0|RUNNING|a\n12_1|TIMEOUT|a\n12_2|PENDING|a\n12_3|COMPLETED|a\n"
    )
    return tmp_path / "script"


def waiting(members):
    return {
        name: Worker(Members(members.directory, name), 0) for name in members.left()
    }


def test_batch_script_asks_for_partition_time_gpus_signal_and_requeue(slurm, members):
    jobs = Jobs(cluster="slurm", partition="gpu", time=90, gpus=2, cores=3, workers=5)
    jobs.check()
    assert len(queue(jobs, waiting(members), "mine")) == 4
    lines = slurm.read_text().splitlines()
    for option in ("partition=gpu", "time=90", "gpus-per-node=2", "cpus-per-task=3",
                   "signal=USR1@120", "requeue", "open-mode=append", "array=0-3%4",
                   "job-name=mine"):  # fmt: skip
        assert f"#SBATCH --{option}" in lines
    assert "export SUBMITIT_PREEMPT_SIGNAL=USR1" in lines
    assert any("submitit.core._submit" in line for line in lines)


def test_only_members_without_a_job_are_queued_again(slurm, members):
    jobs = Jobs(cluster="slurm")
    queue(jobs, waiting(members), "mine")
    states = {row.name: row.status for row in rows(members)}
    assert states["omega_1_seed_0"] == "running"
    assert states["omega_2_seed_0"] == "pending"
    finish(members.directory / "omega_2_seed_1")
    # the second job came to its limit, and the fourth is done
    assert queue(jobs, waiting(members), "mine") == ["omega_1_seed_1"]
    assert "#SBATCH --array" not in slurm.read_text()
    kept = json.loads((members.folder / "queued.json").read_text())
    assert kept["omega_1_seed_0"] == "12_0" and kept["omega_1_seed_1"] == "12"


def test_cluster_without_its_commands_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RunError, match="requires the command srun"):
        Jobs(cluster="slurm").check()


def test_missing_submitit_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RunError, match="install the extra `sweep`"):
        Jobs().check()


def test_results_are_collected_in_a_table_and_a_figure(members):
    assert collect(members) == []
    for i, name in enumerate(members.plan.members):
        finish(members.directory / name, energy=1.0 + i)
    collect(members)
    with open(members.directory / "results.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["energy"] for row in table] == ["1.0", "2.0", "3.0", "4.0"]
    assert [row["--omega"] for row in table] == ["1", "1", "2", "2"]
    kept = json.loads((members.directory / "results.json").read_text())["runs"]
    assert kept[3]["name"] == "omega_2_seed_1" and kept[3]["reference_value"] == 1.0
    assert (members.directory / "figures" / "energy.png").stat().st_size > 1000
    assert axis(members.plan) == "omega"
    assert axis(plan("seed=0:2")) == "seed"
    assert axis(plan("statistics=bosons,fermions", "omega=1,2")) == "omega"


def test_command_shows_a_sweep_and_continues_it(members, monkeypatch, capsys):
    names = list(members.plan.members)
    finish(members.directory / names[0])
    sweep([str(members.directory)], options_of)
    assert capsys.readouterr().out.count("pending") == 3
    started = []

    def make(tasks, jobs, name, look):
        started.append(jobs)
        for each in tasks.left():
            finish(tasks.directory / each)

    monkeypatch.setattr("nqs.jobs.supervision.complete", make)
    arguments = ["nqs", "resume", str(members.directory), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    command_line.main()
    assert capsys.readouterr().out.count("done") == 4
    assert started == [Jobs(workers=1)]


PINNED = """
import os, sys
os.sched_setaffinity(0, {core})
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.whole
def test_member_equals_a_single_run_bit_for_bit(tmp_path, capsys):
    few = [*FEW, "--compilation-cache", str(tmp_path / "programs")]
    place = ["--directory", str(tmp_path / "sweep"), "--workers", "1", "--cores", "1"]
    sweep(["harmonic_oscillator", *few, "--over", "seed=1", *place], options_of)
    assert capsys.readouterr().out.count(" done ") == 1
    member, alone = tmp_path / "sweep" / "seed_1", tmp_path / "alone"
    single = [sys.executable, "-m", "experiments", "run", "harmonic_oscillator", *few]
    single += ["--seed", "1", "--directory", str(alone)]
    pinned = PINNED.replace("core", str(min(os.sched_getaffinity(0))))
    command = [sys.executable, "-c", pinned, *single]
    subprocess.run(command, capture_output=True, check=True)
    name = "metrics.jsonl"
    assert (member / name).read_text() == (alone / name).read_text()
    results = [json.loads((d / "result.json").read_text()) for d in (member, alone)]
    assert results[0]["energy"] == results[1]["energy"]
