package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// writeJSON writes every single measurement, for those who want to see how far
// they are apart.
func writeJSON(cfg config, results []result) error {
	data, err := json.MarshalIndent(struct {
		What     string   `json:"what"`
		Machine  string   `json:"machine"`
		Versions string   `json:"versions"`
		Results  []result `json:"results"`
	}{cfg.describe(), machine(), versions(), results}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(cfg.json, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	return nil
}
