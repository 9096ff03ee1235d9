package main

import (
	"math"
	"slices"
)

// median returns the median, NaN of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// cell are the results of one client in one scenario, by round.
type cell []result

// cellOf selects a cell.
func cellOf(results []result, name string, s scenario) cell {
	var c cell
	for _, r := range results {
		if r.Impl == name && r.scenario == s {
			c = append(c, r)
		}
	}
	slices.SortFunc(c, func(a, b result) int { return a.Round - b.Round })
	return c
}

// median returns the median of a figure over the rounds.
func (c cell) median(figure func(result) float64) float64 {
	values := make([]float64, len(c))
	for i, r := range c {
		values[i] = figure(r)
	}
	return median(values)
}

// ratio returns the median of a figure's ratio to another client's in the same
// round. A round that only one of them has does not count.
func (c cell) ratio(other cell, figure func(result) float64) float64 {
	var ratios []float64
	for i := range min(len(c), len(other)) {
		if divisor := figure(other[i]); divisor != 0 {
			ratios = append(ratios, figure(c[i])/divisor)
		}
	}
	return median(ratios)
}
