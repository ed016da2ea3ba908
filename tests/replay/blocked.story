[   5.000] alarm: memory pressure (full) 20% >= 20%
[   5.900] cause: memory or disk, 19 tasks blocked by the disk (limit 16); tasks wait for memory or disk, which no squeeze shortens: look at memory.pressure and io.pressure, or at the tasks in state D
[   8.500] cause: memory or disk, io pressure (full) 40.89% (limit 40%); tasks wait for memory or disk, which no squeeze shortens: look at memory.pressure and io.pressure, or at the tasks in state D
[  21.100] calm: cpu pressure 0.06%
154 events over 25.8 s: the same 23 actions
