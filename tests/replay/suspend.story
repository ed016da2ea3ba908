[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] incident: cpu wait of postgresql.service 88.42% > 65.62% for 350ms (everything-else): a runaway; to blame: docker-30e0ef79d5c600000000000000000000000000000000000000000 5%, docker-f384d301071000000000000000000000000000000000000000000 5%, docker-01841ce3c96e00000000000000000000000000000000000000000 5%
[   1.350] cpu wait of postgresql.service 88.42% > 65.62% for 350ms (everything-else) -> quota, together 25% of the machine on 20 cgroups under /system.slice; next: docker-f384d301071000000000000000000000000000000000000000000 5%, docker-01841ce3c96e00000000000000000000000000000000000000000 5%; for at most 30min
[3605.000] released: AtMost= is over on 20 cgroups under /system.slice (everything-else): cpu wait of postgresql.service 1.27% < 75%
95 events over 3605.0 s: the same 49 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
