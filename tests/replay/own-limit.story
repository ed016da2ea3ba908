[   1.250] alarm: cpu pressure 100% > 10%
[   1.350] cause: throttled by its own limit, api.service, 45% (limit 20%); raise its CPUQuota= or cpu limit; throttling others would not help
114 events over 13.9 s: the same 16 actions
