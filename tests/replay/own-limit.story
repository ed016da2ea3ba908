[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] cause: throttled by its own limit, api.service, 45% (limit 20%); raise its CPUQuota= or cpu limit; throttling others would not help
[   4.950] incident: cpu wait of api.service 67.72% > 66% for 400ms (everything-else): the culprit is protected; to blame: api.service 85%, postgresql.service 8%, ssh.service 2%
118 events over 13.9 s: the same 17 actions
