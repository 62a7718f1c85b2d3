// Command acmeload drives an RFC 8555 server with real HTTP-01 validation: it answers the
// challenges and the DNS queries itself on loopback, and reports issuances per second,
// latency quantiles and the server's CPU milliseconds per certificate.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/crypto/acme"
)

// kept gets every certificate that a client has in its hands, when asked for.
var (
	kept   *os.File
	keptMu sync.Mutex
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "acmeload:", err)
		os.Exit(1)
	}
}

type responder struct{ tokens sync.Map }

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	tok := strings.TrimPrefix(req.URL.Path, "/.well-known/acme-challenge/")
	if v, ok := r.tokens.Load(tok); ok {
		w.Header().Set("Content-Type", "application/octet-stream")
		fmt.Fprint(w, v)
		return
	}
	http.NotFound(w, req)
}

func serveDNS(addr string) {
	h := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(m)
		for _, q := range m.Question {
			if q.Qtype == dns.TypeA {
				r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(127, 0, 0, 1)})
			}
		}
		w.WriteMsg(r)
	})
	for _, n := range []string{"udp", "tcp"} {
		s := &dns.Server{Addr: addr, Net: n, Handler: h}
		go func() { must(s.ListenAndServe()) }()
	}
}

// cpuMillis sums the CPU time of the given processes and all their threads.
func cpuMillis(pids []int) float64 {
	t := 0.0
	for _, p := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
		u, _ := strconv.ParseFloat(f[11], 64)
		s, _ := strconv.ParseFloat(f[12], 64)
		t += (u + s) * 10
	}
	return t
}

func eabJWS(c *acme.Client, kid, key string) *acme.ExternalAccountBinding {
	if kid == "" {
		return nil
	}
	k, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(key, "="))
	must(err)
	return &acme.ExternalAccountBinding{KID: kid, Key: k}
}

func main() {
	dir := flag.String("directory", "https://localhost:14000/dir", "ACME directory URL")
	workers := flag.Int("workers", 8, "concurrent clients, each with an account of its own")
	secs := flag.Int("seconds", 20, "measured time")
	max := flag.Int("max", 100000, "most certificates to ask for")
	http01 := flag.String("http01", "127.0.0.1:5002", "where the HTTP-01 responder listens")
	dnsAddr := flag.String("dns", "127.0.0.1:8053", "where the DNS answers listen; empty for none")
	suffix := flag.String("suffix", "load.test", "parent domain of the names asked for")
	kid := flag.String("eab-kid", "", "external account binding key id")
	ekey := flag.String("eab-key", "", "external account binding key, base64url")
	pidList := flag.String("pids", "", "comma separated pids of the server, for CPU accounting")
	keep := flag.String("keep", "", "file for the certificates that were received, PEM")
	fresh := flag.Bool("fresh-keys", false, "a new certificate key for every order")
	flag.Parse()
	if *keep != "" {
		f, err := os.Create(*keep)
		must(err)
		kept = f
	}

	var pids []int
	for _, p := range strings.Split(*pidList, ",") {
		if n, err := strconv.Atoi(p); err == nil {
			pids = append(pids, n)
		}
	}
	r := &responder{}
	go func() { must(http.ListenAndServe(*http01, r)) }()
	if *dnsAddr != "" {
		serveDNS(*dnsAddr)
	}
	time.Sleep(200 * time.Millisecond)

	var issued, failed int64
	var mu sync.Mutex
	var lat []float64
	errs := map[string]int{}
	// SIGTERM ends the load early, with its report.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	var ready, wg sync.WaitGroup
	start := make(chan struct{})
	run := fmt.Sprintf("%x", time.Now().UnixNano()&0xffffff)
	for w := 0; w < *workers; w++ {
		ready.Add(1)
		wg.Add(1)
		go func(w int) {
			defer wg.Done()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			must(err)
			hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4}, Timeout: 30 * time.Second}
			c := &acme.Client{Key: key, DirectoryURL: *dir, HTTPClient: hc, RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
				if n > 5 {
					return -1
				}
				return 20 * time.Millisecond
			}}
			_, err = c.Register(ctx, &acme.Account{Contact: []string{"mailto:load@example.com"}, ExternalAccountBinding: eabJWS(c, *kid, *ekey)}, acme.AcceptTOS)
			must(err)
			ck, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			ready.Done()
			<-start
			for i := 0; ctx.Err() == nil && atomic.LoadInt64(&issued) < int64(*max); i++ {
				if *fresh {
					ck, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				}
				t0 := time.Now()
				err := one(ctx, c, r, ck, fmt.Sprintf("w%d-%d-%s.%s", w, i, run, *suffix))
				if ctx.Err() != nil {
					return
				}
				d := time.Since(t0).Seconds() * 1000
				mu.Lock()
				if err != nil {
					failed++
					s := err.Error()
					if len(s) > 160 {
						s = s[:160]
					}
					errs[s]++
				} else {
					atomic.AddInt64(&issued, 1)
					lat = append(lat, d)
				}
				mu.Unlock()
				if failed > 50 && issued == 0 {
					cancel()
				}
			}
		}(w)
	}
	ready.Wait()
	c0, me0, t0 := cpuMillis(pids), cpuMillis([]int{os.Getpid()}), time.Now()
	time.AfterFunc(time.Duration(*secs)*time.Second, cancel)
	close(start)
	wg.Wait()
	el := time.Since(t0).Seconds()
	c1, me1 := cpuMillis(pids), cpuMillis([]int{os.Getpid()})
	sort.Float64s(lat)
	q := func(p float64) float64 {
		if len(lat) == 0 {
			return 0
		}
		return lat[int(p*float64(len(lat)-1))]
	}
	out := map[string]any{"issued": issued, "failed": failed, "seconds": el, "per_second": float64(issued) / el,
		"p50_ms": q(.5), "p95_ms": q(.95), "p99_ms": q(.99), "server_cpu_ms_per_cert": (c1 - c0) / float64(issued+1), "client_cpu_ms_per_cert": (me1 - me0) / float64(issued+1), "errors": errs}
	b, err := json.MarshalIndent(out, "", " ")
	must(err)
	fmt.Println(string(b))
}

func one(ctx context.Context, c *acme.Client, r *responder, key crypto.Signer, name string) error {
	o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		return fmt.Errorf("newOrder: %w", err)
	}
	for _, u := range o.AuthzURLs {
		z, err := c.GetAuthorization(ctx, u)
		if err != nil {
			return fmt.Errorf("authz: %w", err)
		}
		if z.Status == acme.StatusValid {
			continue
		}
		for _, ch := range z.Challenges {
			if ch.Type != "http-01" {
				continue
			}
			resp, err := c.HTTP01ChallengeResponse(ch.Token)
			if err != nil {
				return err
			}
			r.tokens.Store(ch.Token, resp)
			defer r.tokens.Delete(ch.Token)
			if _, err := c.Accept(ctx, ch); err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			if err := poll(ctx, c, u); err != nil {
				return err
			}
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		return err
	}
	ders, _, err := c.CreateOrderCert(ctx, o.FinalizeURL, csr, true)
	if err != nil && strings.Contains(err.Error(), "unsupported protocol scheme") {
		// The server answered "processing" with no Location: poll the order ourselves.
		var done *acme.Order
		if done, err = c.WaitOrder(ctx, o.URI); err == nil {
			ders, err = c.FetchCert(ctx, done.CertURL, true)
		}
	}
	if err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	leaf, err := x509.ParseCertificate(ders[0])
	if err != nil {
		return err
	}
	if kept != nil {
		keptMu.Lock()
		defer keptMu.Unlock()
		if err := pem.Encode(kept, &pem.Block{Type: "CERTIFICATE", Bytes: ders[0]}); err != nil {
			return err
		}
	}
	return leaf.VerifyHostname(name)
}

func poll(ctx context.Context, c *acme.Client, u string) error {
	for i := 0; i < 200; i++ {
		z, err := c.GetAuthorization(ctx, u)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		switch z.Status {
		case acme.StatusValid:
			return nil
		case acme.StatusInvalid:
			return fmt.Errorf("authorization invalid: %v", z.Challenges[0].Error)
		}
		d := 2 * time.Millisecond << min(i, 6)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
		}
	}
	return fmt.Errorf("authorization stayed pending")
}
