package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSilences_ReachIntoTheWindow(t *testing.T) {
	for name, row := range map[string]struct {
		times []int64
		want  []span
	}{
		"none at all":            {nil, []span{{100, 200}}},
		"begins before":          {[]int64{50, 90, 130, 135, 199}, []span{{90, 130}, {135, 199}}},
		"not over":               {[]int64{95, 105, 115, 120}, []span{{120, 200}}},
		"ends after":             {[]int64{100, 110, 120, 300}, []span{{120, 200}}},
		"only outside":           {[]int64{0, 50, 300, 400}, []span{{50, 200}}},
		"steady":                 {[]int64{99, 110, 125, 140, 155, 170, 185, 199}, nil},
		"before the window only": {[]int64{0, 99, 110, 125, 140, 155, 170, 185, 199, 260}, nil},
	} {
		require.Equal(t, row.want, silences(row.times, span{100, 200}, 20), name)
	}
}

func TestAdded_IsWhatNoFloorExplains(t *testing.T) {
	floor := []span{{100, 200}, {300, 310}}
	for name, row := range map[string]struct {
		client []span
		want   time.Duration
	}{
		"nothing":                 {nil, 0},
		"the same":                {[]span{{100, 200}}, 0},
		"less":                    {[]span{{120, 180}}, 0},
		"later":                   {[]span{{100, 215}}, 15},
		"earlier and later":       {[]span{{95, 215}}, 20},
		"two, the worse":          {[]span{{100, 205}, {300, 317}}, 7},
		"one over both":           {[]span{{100, 310}}, 100},
		"where PD served":         {[]span{{220, 260}}, 40},
		"not the sum of many":     {[]span{{210, 220}, {230, 240}, {250, 260}}, 10},
		"longest is not the most": {[]span{{100, 205}, {220, 260}}, 40},
	} {
		_, got := added(row.client, floor)
		require.Equal(t, row.want, got, name)
	}
}

func TestMerged_HasNoOverlap(t *testing.T) {
	require.ElementsMatch(t, []span{{0, 50}, {60, 70}},
		merged([]span{{0, 10}, {20, 30}, {60, 70}}, []span{{5, 25}, {28, 50}}))
	require.Equal(t, []span{{1, 2}}, merged(nil, []span{{1, 2}}))
}

func TestSilencesAreToldFromTheFaultBefore(t *testing.T) {
	trial := &trial{window: span{from: 100}, hits: []int64{110, 500}}
	for at, want := range map[int64]time.Duration{105: 5, 110: 0, 499: 389, 500: 0, 720: 220} {
		require.Equal(t, want, trial.sinceHit(at), "at %d", at)
	}
}
