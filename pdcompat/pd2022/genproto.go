//go:build requirements

package pd

// Versions of genproto until May 2023 hold packages that are modules of their own today, which
// gRPC requires. Go refuses to choose when a program has both, and client-go v2.0.7 and PD's
// client require such a version; so this requires one without them.
import _ "google.golang.org/genproto/protobuf/field_mask"
