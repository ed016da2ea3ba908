[   1.250] alarm: cpu pressure 100% > 10%
[   1.750] cause: stolen CPU time, 25.38% (limit 10%); the host takes the CPU away: a T instance out of credits (unlimited mode, or another type), or a noisy host
[   3.350] incident: cpu wait of api.service 83.54% > 75% for 400ms (everything-else): stolen CPU time; to blame: cron.service 0%, chrony.service 0%
117 events over 13.9 s: the same 17 actions
the record ends in mid-incident: the guard died, or FlightRecorder= or the room in the run directory was used up; what came after is not in it
