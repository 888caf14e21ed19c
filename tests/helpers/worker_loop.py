"""A worker that sums a number with the others, over and over: what training does, without training.

    python -m tests.helpers.worker_loop [sums]

Each line of standard output is a phase: "started", "joined", "summing", "done". An error is a line on standard error.
"""

from __future__ import annotations

import os
import sys
import time

PAUSE_SECONDS = 0.1


def main(sums: int) -> None:
    print("started", flush=True)
    from gpt2simple.api.console import show_messages
    from gpt2simple.backend import strategies
    from gpt2simple.backend.cluster import read_cluster
    from gpt2simple.backend.lost_peers import naming_lost_peers
    from gpt2simple.backend.tensorflow import tf
    from gpt2simple.errors import Gpt2SimpleError
    from gpt2simple.training.interrupt import stop_on_signals

    show_messages()
    print("imported", flush=True)
    try:
        device, joined = strategies.start("multiworker", 1)
        print("joined", device, flush=True)
        strategy, cluster = joined.strategy, read_cluster(os.environ)

        @tf.function
        def add(x: tf.Tensor) -> tf.Tensor:
            def of_replica() -> tf.Tensor:
                return tf.distribute.get_replica_context().all_reduce("sum", [tf.identity(x) + 0.0])[0]

            return strategy.run(of_replica)

        with stop_on_signals() as stop, naming_lost_peers(cluster):
            for number in range(sums):
                total = add(tf.constant([1.0, float(bool(stop))])).numpy()
                if number == 0:
                    print("summing", flush=True)
                if total[1]:
                    print("stopped", flush=True)
                    break
                time.sleep(PAUSE_SECONDS)
    except Gpt2SimpleError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
