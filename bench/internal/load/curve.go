package load

// Quantiles are those of a Curve, in percent: closer together where latencies differ.
var Quantiles = []float64{
	1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99,
}

// Curve returns the latencies at Quantiles in ns, nil if there are none.
func (c *Counts) Curve() []int64 {
	if c.Calls == 0 {
		return nil
	}
	h := c.histogram()
	curve := make([]int64, len(Quantiles))
	for i, q := range Quantiles {
		curve[i] = h.ValueAtQuantile(q)
	}
	return curve
}
