[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 90.98% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-c0e6f19a2a3500000000000000000000000000000000000000000 3%, docker-fbfbe4ff71ba00000000000000000000000000000000000000000 3%, docker-c3bd77876cc000000000000000000000000000000000000000000 3%
[   1.350] cpu wait of postgresql.service 90.98% > 65.62% for 350ms (everything-else) -> would set quota, together 25% of the machine on 30 cgroups under /system.slice; next: docker-fbfbe4ff71ba00000000000000000000000000000000000000000 3%, docker-c3bd77876cc000000000000000000000000000000000000000000 3%; for at most 30min
174 events over 13.9 s: the same 17 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
