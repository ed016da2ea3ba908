[   1.250] alarm: cpu pressure 100% > 10%
130 events over 15.9 s: the same 17 actions
