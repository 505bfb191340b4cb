"""`python -m tests.fuzz --inputs 100000 --reader csv`: changed files into readers, and a table of how these end."""

import argparse
import sys

from tests.fuzz.corpora import CORPORA
from tests.fuzz.fuzzing import OUTCOMES, as_table, fuzz

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="changed files a reader")
    parser.add_argument("--reader", action="append", choices=list(CORPORA), help="of all by default")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = {}
    for reader in given.reader or CORPORA:
        counts[reader], faults = fuzz(reader, given.inputs, given.seed)
        print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    print(as_table(counts))
    sys.exit(any(of[outcome] for of in counts.values() for outcome in OUTCOMES[3:]))
