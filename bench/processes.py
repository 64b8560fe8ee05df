"""Jobs in worker processes: ended when their time is up, reported when they die.

On a CPU each job has a fresh process, so that no job finds memory or threads that another left. On a
GPU, where a context takes seconds, a process goes on as long as it lives.
"""

import multiprocessing
import os
import signal
import time

CONTEXT = multiprocessing.get_context("forkserver")
PRELOAD = ["torch", "drsl_cuda", "bench.serving"]


class Workers:
    def __init__(self, settings):
        self.settings = settings
        self.process = self.connection = None
        CONTEXT.set_forkserver_preload(PRELOAD)

    def run(self, job, heard):
        """(state, told) of what became of the job itself: ("done", ""), or why it ended early.

        job    {"case", "contender", "losses", "patience"}
        heard  called with each row
        """
        if self.process is None:
            self._start()
        self.connection.send(job)
        deadline, phase = time.monotonic() + job["patience"], "starting"
        try:
            while True:
                if not self.connection.poll(max(0, deadline - time.monotonic())):
                    self.end()
                    return "timed out", f"stopped after {job['patience']:.0f} s, at {phase}"
                kind, content = self.connection.recv()
                if kind == "row":
                    heard(content)
                elif kind == "at":
                    phase = content
                elif kind == "failed":
                    return content
                else:
                    break
        except (EOFError, ConnectionError):
            return self._died(phase)
        except BaseException:
            self.end()
            raise
        finally:
            if self.settings["device"] == "cpu":
                self.end()
        return "done", ""

    def _start(self):
        from bench.serving import serve

        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=serve, args=(theirs, self.settings), daemon=True)
        self.process.start()
        theirs.close()

    def _died(self, phase):
        self.process.join(5)
        code = self.process.exitcode
        self.end()
        if code is not None and code < 0:
            return "died", f"{signal.Signals(-code).name} at {phase}"
        return "died", f"exit status {code} at {phase}"

    def end(self):
        """Ends the process and all that it started; also one that an interruption kept from starting."""
        process, connection = self.process, self.connection
        self.process = self.connection = None
        if connection is not None:
            connection.close()  # a process that runs hears it
        if process is None or process.pid is None:
            return
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, ending)
            except (ProcessLookupError, PermissionError):
                process.kill()  # before it had a group of its own
            process.join(2)
            if process.exitcode is not None:
                break
