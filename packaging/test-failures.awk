# Reads the log of one suite and prints what it says of what failed, for the end of a report whose middle a reader may
# not have: libtest's own section on failures (with --show-output a section on successes comes before it), and lines
# that begin with FAILED or error.
/^successes:$/ { shown = 0 }
/^failures:$/ { shown = 1 }
/^test result: / { shown = 0 }
shown && NF || /^(FAILED|error)/
