package pdcluster

import (
	"errors"
	"fmt"
	"strings"
)

// Config says what kind of cluster to run. The zero value is one member with
// PD's own timing.
type Config struct {
	// Members is the number of PD processes; 0 stands for 1.
	Members int
	// Fast shortens PD's lease and election, so that a killed leader is replaced
	// in 2-3 s. With PD's own timing it takes 11-13.5 s.
	Fast bool
	// LocalTSO gives each member a dc-location of its own, dc-1 to dc-n, and a
	// local allocator to each dc-location.
	LocalTSO bool
	// TLS makes members and clients prove who they are, with certificates made
	// for this cluster; see [Cluster.TLS].
	TLS bool
	// Dir is the folder in which the cluster makes its own temporary folder;
	// empty stands for the system's.
	Dir string
	// AdvertiseClientURLs, if set, lets members advertise other addresses than
	// those they listen on: those of a proxy in front of each. It gets the URLs
	// that the members are going to listen on, and returns one for each member,
	// or several joined by commas.
	//
	// It is called before the processes start, and the proxies must forward from
	// then on, because a member reaches its own etcd by what it advertises. For
	// the same reason a fault at a proxy also cuts the servers' etcd clients off
	// from it; they go on as long as another advertised address works. It may be
	// called again with other URLs if the first ports turn out to be taken.
	AdvertiseClientURLs func(clientURLs []string) ([]string, error)
	// Paths puts a [pdpath.Path] in front of each member, where tests can break what
	// lies between their own process and the member, see [Member].Path. Members pass
	// whatever happens to clients. It takes the place of AdvertiseClientURLs.
	Paths bool
	// Mode says who serves timestamps at first; see [Cluster.SetMode].
	Mode Mode
	// TSOServices is the number of TSO services that run while the cluster is in
	// API mode, which needs one at least.
	TSOServices int
}

func (c Config) withDefaults() (Config, error) {
	if c.Members == 0 {
		c.Members = 1
	}
	if c.Members < 0 {
		return c, fmt.Errorf("pdcluster: Members is %d, must not be negative", c.Members)
	}
	if c.TSOServices < 0 {
		return c, fmt.Errorf("pdcluster: TSOServices is %d, must not be negative", c.TSOServices)
	}
	if c.Mode == APIMode && c.TSOServices == 0 {
		return c, errNoServices
	}
	if c.TSOServices > 0 && c.LocalTSO {
		return c, errors.New("pdcluster: TSOServices and LocalTSO exclude each other")
	}
	if c.TSOServices > 0 && c.TLS {
		// A TSO service names no protocol in TLS handshakes, which gRPC requires since 1.67.
		return c, errors.New("pdcluster: TSOServices and TLS exclude each other")
	}
	if c.Paths && c.AdvertiseClientURLs != nil {
		return c, errors.New("pdcluster: Paths and AdvertiseClientURLs exclude each other")
	}
	return c, nil
}

// advertised returns what each member advertises.
func (c Config) advertised(clientURLs []string) ([]string, error) {
	if c.AdvertiseClientURLs == nil {
		return clientURLs, nil
	}
	advertised, err := c.AdvertiseClientURLs(clientURLs)
	if err != nil {
		return nil, fmt.Errorf("pdcluster: advertised URLs: %w", err)
	}
	if len(advertised) != len(clientURLs) {
		return nil, errors.New("pdcluster: AdvertiseClientURLs must return one URL for each member")
	}
	return advertised, nil
}

// scheme returns the scheme of every URL of the cluster.
func (c Config) scheme() string {
	if c.TLS {
		return "https"
	}
	return "http"
}

// dc returns the dc-location of the i-th member, or "" without Local TSO.
func (c Config) dc(i int) string {
	if !c.LocalTSO {
		return ""
	}
	return fmt.Sprintf("dc-%d", i+1)
}

// serviceTOML returns the configuration file of a TSO service.
func (c Config) serviceTOML(name string) string {
	content := fmt.Sprintf("name = %q\n", name)
	if c.Fast {
		content += "lease = 1\ntso-save-interval = \"1s\"\n"
	}
	return content
}

// toml returns the configuration file of the i-th member.
func (c Config) toml(i int) string {
	var b strings.Builder
	if c.Fast {
		// etcd refuses an election interval of less than five ticks.
		b.WriteString("lease = 1\ntick-interval = \"100ms\"\n" +
			"election-interval = \"500ms\"\ntso-save-interval = \"1s\"\n")
	}
	if c.TSOServices > 0 {
		// There are no stores that could split a region, which a keyspace waits for.
		b.WriteString("[keyspace]\nwait-region-split = false\n")
	}
	if c.LocalTSO {
		fmt.Fprintf(&b, "enable-local-tso = true\n[labels]\nzone = %q\n", c.dc(i))
	}
	// There is one store at most, see [Cluster.Bootstrap].
	b.WriteString("[replication]\nmax-replicas = 1\n")
	return b.String()
}
