"""How long `pulumi up` takes beside the least that its steps can take: the floor.

The floor is the same machines and the same steps without an engine. Its steps are read from the state of the
program's own run just before: each command with its text, standard input, address, keys and dependencies. So the
two cannot drift apart, and whatever a step does wrong costs both alike. Local commands (network, machines) run as
the engine runs them; remote ones go through plain `ssh` processes, all at once, each as soon as the steps that it
depends on are done.

What the floor is spared: the engine, the program in Python, plugins, the state, making keys. What it is allowed
beyond that: one SSH connection to each machine, which all its steps share (ControlMaster), while pulumi-command
makes one for each step; and no limit to what runs side by side, where the engine has one (four times the number of
cores). All this is overhead that a quicker program could do without, so it belongs into the difference.

What the ratio does not say: whether the steps themselves are quick, or wait for one another without need. The floor
keeps their dependencies. For that there are the seconds of each kind of step, and the critical path: from the
resource that was ready last, each time back to the dependency that was ready last.

Both start with the image made, with a new network and new machines. They take turns, so that a busy hour of the box
meets both; its load is printed with each run. The time of the program is that of the process `pulumi up`, from
start to end; the floor's is from its first step's start to its last one's end. All times are in seconds.

In each turn the program comes first, since the floor needs its state; what the box then has in memory helps the floor.
And one run tells little: on a box with two busy cores the same floor took 23 s and, an hour later, 32 s.

The engine's event log has whole seconds only; events are therefore timed when they arrive in it, to about 10 ms.
"""
