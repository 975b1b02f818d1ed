"""`llm data tokenize`: text to `.bin/.idx`, with several processes, surviving a kill.

The text is cut into numbered blocks; each becomes one part, on disk, whole or not at all, in
`PREFIX.parts/`. A run that was killed is started again with the same command: parts that are
there are taken as they are. When all parts are there they are joined in order into `PREFIX.bin`
and `PREFIX.idx`, and the parts go. The result does not depend on the number of workers or on
how often the run was killed.
"""
