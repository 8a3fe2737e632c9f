# Reads the log of one suite and writes a row for each test program in it:
#   name <tab> passed <tab> failed <tab> skipped <tab> seconds
# In: suite, status (of the command), seconds (it took).
#
# cargo says "Running unittests src/lib.rs (…/deps/stockade_plan-0123456789abcdef)" or "Doc-tests
# stockade_plan", and libtest "test result: ok. 3 passed; 0 failed; 1 ignored; …; finished in 0.01s".
# A program that started and never gave its result died: that is a failure.

function row(name, p, f, s, t) { printf "%s\t%d\t%d\t%d\t%s\n", name, p, f, s, t; rows++; failures += f }
function finish() { if (running != "") { row(suite ": " running " (died)", 0, 1, 0, "-"); running = "" } }

/^ +Running .*\(.*\)$/ {
	finish()
	running = $0
	sub(/^.*\//, "", running); sub(/-[0-9a-f]+\)$/, "", running); sub(/\)$/, "", running)
	path = $0; sub(/^ +Running (unittests )?/, "", path); sub(/ \(.*$/, "", path)
	running = running " " path
	skipped = 0
}
/^ +Doc-tests / { finish(); running = $2 " docs"; skipped = 0 }
/^SKIPPED[ :]/ { skipped++; loose++ }
/^test result: / && running != "" {
	match($0, /[0-9]+ passed/);  p = substr($0, RSTART, RLENGTH) + 0
	match($0, /[0-9]+ failed/);  f = substr($0, RSTART, RLENGTH) + 0
	match($0, /[0-9]+ ignored/); i = substr($0, RSTART, RLENGTH) + 0
	t = "-"; if (match($0, /finished in [0-9.]+/)) t = substr($0, RSTART + 12, RLENGTH - 12)
	# A skipping test returns, so libtest counts it as passed.
	s = skipped > p ? p : skipped
	if (p + f + i > 0) row(suite ": " running, p - s, f, s + i, t)
	running = ""; tested = 1
}
END {
	finish()
	# Not a suite of test programs (lint, demo): its exit status is its one result.
	if (!tested && rows == 0) {
		if (status != 0) row(suite (status == 124 ? " (out of time)" : ""), 0, 1, loose, seconds)
		else row(suite, 1, 0, loose, seconds)
	} else if (status != 0 && failures == 0) {
		row(suite (status == 124 ? " (out of time)" : " (did not build)"), 0, 1, 0, seconds)
	}
}
