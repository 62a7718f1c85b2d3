// Command xcrypto walks through an ACME server with golang.org/x/crypto/acme, unmodified, and prints one JSON object:
// a scenario's name to what it saw, or to the error it met. It answers challenges and DNS queries itself on loopback.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/crypto/acme"
)

type seen map[string]any

// world is what the scenarios share.
type world struct {
	client  *acme.Client
	web     *http.Client
	roots   *x509.CertPool
	answers *answers
	last    []byte // the newest certificate, DER
	lastKey crypto.Signer
	lastURL string
}

func main() {
	directory := flag.String("directory", "", "ACME directory URL")
	bundle := flag.String("ca", "", "PEM file that the server's certificate and the issued ones chain to")
	kid := flag.String("eab-kid", "", "external account binding key id")
	hmacKey := flag.String("eab-key", "", "external account binding key, base64url")
	httpAddress := flag.String("http01", "127.0.0.1:5002", "where http-01 is answered")
	alpnAddress := flag.String("tlsalpn01", "127.0.0.1:5001", "where tls-alpn-01 is answered")
	dnsAddress := flag.String("dns", "127.0.0.1:8053", "where DNS queries are answered")
	flag.Parse()

	pem, err := os.ReadFile(*bundle)
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	web := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		Timeout:   30 * time.Second,
	}
	w := &world{
		client:  &acme.Client{Key: newKey(), DirectoryURL: *directory, HTTPClient: web},
		web:     web,
		roots:   roots,
		answers: &answers{certificates: map[string]*tls.Certificate{}, texts: map[string][]string{}, files: map[string]string{}},
	}
	w.answers.serve(*httpAddress, *alpnAddress, *dnsAddress)

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	scenarios := []struct {
		name string
		run  func(context.Context) (seen, error)
	}{
		{"directory", w.directory},
		{"register-without-eab", w.registerWithoutBinding},
		{"register", func(ctx context.Context) (seen, error) { return w.register(ctx, *kid, *hmacKey) }},
		{"update-contact", w.updateContact},
		{"no-challenge", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "", acme.DomainIDs("xcrypto.demo.svc.cluster.local"))
		}},
		{"http-01", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "http-01", acme.DomainIDs("a.xcrypto.test", "b.xcrypto.test"))
		}},
		{"tls-alpn-01", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "tls-alpn-01", acme.DomainIDs("alpn.xcrypto.test"))
		}},
		{"dns-01", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "dns-01", acme.DomainIDs("dns.xcrypto.test"))
		}},
		{"wildcard", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "dns-01", acme.DomainIDs("*.wild.xcrypto.test", "wild.xcrypto.test"))
		}},
		{"ip-http-01", func(ctx context.Context) (seen, error) { return w.issue(ctx, "http-01", acme.IPIDs("127.0.0.1")) }},
		{"ip-tls-alpn-01", func(ctx context.Context) (seen, error) {
			return w.issue(ctx, "tls-alpn-01", acme.IPIDs("127.0.0.1"))
		}},
		{"refused", w.refused},
		{"wrong-answer", w.wrongAnswer},
		{"pre-authorization", w.preAuthorization},
		{"deactivate-authorization", w.deactivateAuthorization},
		{"renewal-info", w.renewalInfo},
		{"alternates", w.alternates},
		{"orders", w.orders},
		{"key-rollover", w.keyRollover},
		{"revoke-by-certificate-key", w.revokeByKey},
		{"revoke-by-account", w.revokeByAccount},
		{"deactivate-account", w.deactivateAccount},
	}
	report := map[string]seen{}
	for _, scenario := range scenarios {
		started := time.Now()
		result, err := scenario.run(ctx)
		if result == nil {
			result = seen{}
		}
		if err != nil {
			result["error"] = err.Error()
		}
		result["milliseconds"] = time.Since(started).Milliseconds()
		report[scenario.name] = result
	}
	encoded, err := json.MarshalIndent(report, "", "  ")
	must(err)
	fmt.Println(string(encoded))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "xcrypto:", err)
		os.Exit(1)
	}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

func problem(err error) seen {
	var refused *acme.Error
	if !errors.As(err, &refused) {
		return seen{"error": fmt.Sprintf("no ACME error: %v", err)}
	}
	var named []string
	for _, sub := range refused.Subproblems {
		if sub.Identifier != nil {
			named = append(named, sub.Identifier.Value)
		}
	}
	return seen{"status": refused.StatusCode, "type": refused.ProblemType, "detail": refused.Detail, "subproblems": named}
}

func (w *world) directory(ctx context.Context) (seen, error) {
	found, err := w.client.Discover(ctx)
	return seen{"terms": found.Terms, "eab": found.ExternalAccountRequired, "profiles": found.Profiles}, err
}

func (w *world) registerWithoutBinding(ctx context.Context) (seen, error) {
	other := &acme.Client{Key: newKey(), DirectoryURL: w.client.DirectoryURL, HTTPClient: w.web}
	_, err := other.Register(ctx, &acme.Account{}, acme.AcceptTOS)
	if err == nil {
		return nil, errors.New("registered without a credential")
	}
	return problem(err), nil
}

func (w *world) register(ctx context.Context, kid, hmacKey string) (seen, error) {
	key, err := base64.RawURLEncoding.DecodeString(hmacKey)
	if err != nil {
		return nil, err
	}
	wanted := &acme.Account{
		Contact:                []string{"mailto:xcrypto@example.test"},
		ExternalAccountBinding: &acme.ExternalAccountBinding{KID: kid, Key: key},
	}
	account, err := w.client.Register(ctx, wanted, acme.AcceptTOS)
	if err != nil {
		return nil, err
	}
	again := &acme.Client{Key: w.client.Key, DirectoryURL: w.client.DirectoryURL, HTTPClient: w.web}
	found, err := again.GetReg(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("looking the account up by its key: %w", err)
	}
	return seen{"status": account.Status, "orders": account.OrdersURL, "same": found.URI == account.URI}, nil
}

func (w *world) updateContact(ctx context.Context) (seen, error) {
	account, err := w.client.GetReg(ctx, "")
	if err != nil {
		return nil, err
	}
	account.Contact = []string{"mailto:changed@example.test"}
	changed, err := w.client.UpdateReg(ctx, account)
	if err != nil {
		return nil, err
	}
	return seen{"contact": changed.Contact}, nil
}

// issue goes from newOrder to a verified certificate. An empty kind means that no challenge is expected.
func (w *world) issue(ctx context.Context, kind string, wanted []acme.AuthzID) (seen, error) {
	order, err := w.client.AuthorizeOrder(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("newOrder: %w", err)
	}
	solved := 0
	for _, url := range order.AuthzURLs {
		authorization, err := w.client.GetAuthorization(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("authorization: %w", err)
		}
		if authorization.Status == acme.StatusValid {
			continue
		}
		if err := w.solve(ctx, kind, authorization); err != nil {
			return nil, err
		}
		solved++
	}
	ready, err := w.client.WaitOrder(ctx, order.URI)
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	key := newKey()
	template := &x509.CertificateRequest{}
	for _, identifier := range wanted {
		if identifier.Type == "ip" {
			template.IPAddresses = append(template.IPAddresses, net.ParseIP(identifier.Value))
		} else {
			template.DNSNames = append(template.DNSNames, identifier.Value)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	chain, url, err := w.client.CreateOrderCert(ctx, ready.FinalizeURL, csr, true)
	if err != nil {
		return nil, fmt.Errorf("finalize: %w", err)
	}
	leaf, err := w.verify(chain, wanted)
	if err != nil {
		return nil, err
	}
	w.last, w.lastKey, w.lastURL = chain[0], key, url
	return seen{"solved": solved, "chain": len(chain), "names": leaf.DNSNames, "serial": fmt.Sprintf("%x", leaf.SerialNumber)}, nil
}

func (w *world) verify(chain [][]byte, wanted []acme.AuthzID) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	between := x509.NewCertPool()
	for _, raw := range chain[1:] {
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, err
		}
		between.AddCert(certificate)
	}
	for _, identifier := range wanted {
		name := strings.Replace(identifier.Value, "*.", "any.", 1)
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: w.roots, Intermediates: between}); err != nil {
			return nil, fmt.Errorf("the certificate is no good for %s: %w", name, err)
		}
	}
	return leaf, nil
}

func (w *world) solve(ctx context.Context, kind string, authorization *acme.Authorization) error {
	for _, challenge := range authorization.Challenges {
		if challenge.Type != kind {
			continue
		}
		if err := w.prepare(challenge, authorization.Identifier.Value); err != nil {
			return err
		}
		if _, err := w.client.Accept(ctx, challenge); err != nil {
			return fmt.Errorf("challenge: %w", err)
		}
		if _, err := w.client.WaitAuthorization(ctx, authorization.URI); err != nil {
			return fmt.Errorf("validation: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%s is not offered for %s", kind, authorization.Identifier.Value)
}

func (w *world) prepare(challenge *acme.Challenge, name string) error {
	switch challenge.Type {
	case "http-01":
		body, err := w.client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return err
		}
		w.answers.file(w.client.HTTP01ChallengePath(challenge.Token), body)
	case "dns-01":
		value, err := w.client.DNS01ChallengeRecord(challenge.Token)
		if err != nil {
			return err
		}
		w.answers.text("_acme-challenge."+name, value)
	case "tls-alpn-01":
		certificate, err := w.client.TLSALPN01ChallengeCert(challenge.Token, name)
		if err != nil {
			return err
		}
		w.answers.certificate(name, &certificate)
	}
	return nil
}

func (w *world) refused(ctx context.Context) (seen, error) {
	_, err := w.client.AuthorizeOrder(ctx, acme.DomainIDs("good.xcrypto.test", "www.forbidden.example"))
	if err == nil {
		return nil, errors.New("newOrder accepted a name that no policy grants")
	}
	return problem(err), nil
}

// wrongAnswer answers http-01 with somebody else's text and sees the authorization go invalid with a reason.
func (w *world) wrongAnswer(ctx context.Context) (seen, error) {
	order, err := w.client.AuthorizeOrder(ctx, acme.DomainIDs("wrong.xcrypto.test"))
	if err != nil {
		return nil, err
	}
	authorization, err := w.client.GetAuthorization(ctx, order.AuthzURLs[0])
	if err != nil {
		return nil, err
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type == "http-01" {
			w.answers.file(w.client.HTTP01ChallengePath(challenge.Token), challenge.Token+".somebody-else")
			if _, err := w.client.Accept(ctx, challenge); err != nil {
				return nil, err
			}
		}
	}
	_, err = w.client.WaitAuthorization(ctx, authorization.URI)
	var failed *acme.AuthorizationError
	if !errors.As(err, &failed) {
		return nil, fmt.Errorf("the authorization should have failed: %v", err)
	}
	after, err := w.client.GetOrder(ctx, order.URI)
	if err != nil {
		return nil, err
	}
	told := seen{"reason": failed.Error(), "order": after.Status}
	if after.Error != nil {
		told["order-error"] = after.Error.Detail
	}
	return told, nil
}

// preAuthorization uses newAuthz (RFC 8555 §7.4.1), then an order that finds the name proved.
func (w *world) preAuthorization(ctx context.Context) (seen, error) {
	authorization, err := w.client.Authorize(ctx, "pre.xcrypto.test")
	if err != nil {
		return nil, err
	}
	if authorization.Status != acme.StatusValid {
		if err := w.solve(ctx, "http-01", authorization); err != nil {
			return nil, err
		}
	}
	return w.issue(ctx, "http-01", acme.DomainIDs("pre.xcrypto.test"))
}

func (w *world) deactivateAuthorization(ctx context.Context) (seen, error) {
	order, err := w.client.AuthorizeOrder(ctx, acme.DomainIDs("gone.xcrypto.test"))
	if err != nil {
		return nil, err
	}
	if err := w.client.RevokeAuthorization(ctx, order.AuthzURLs[0]); err != nil {
		return nil, err
	}
	authorization, err := w.client.GetAuthorization(ctx, order.AuthzURLs[0])
	if err != nil {
		return nil, err
	}
	after, err := w.client.GetOrder(ctx, order.URI)
	if err != nil {
		return nil, err
	}
	return seen{"authorization": authorization.Status, "order": after.Status}, nil
}

// renewalInfo asks by the certificate's own identifier (RFC 9773 §4.1); x/crypto has no call for it.
func (w *world) renewalInfo(ctx context.Context) (seen, error) {
	leaf, err := x509.ParseCertificate(w.last)
	if err != nil {
		return nil, err
	}
	response, err := w.web.Get(w.client.DirectoryURL)
	if err != nil {
		return nil, err
	}
	var found struct{ RenewalInfo string }
	err = json.NewDecoder(response.Body).Decode(&found)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	serial := leaf.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 {
		serial = append([]byte{0}, serial...)
	}
	encode := base64.RawURLEncoding.EncodeToString
	response, err = w.web.Get(found.RenewalInfo + "/" + encode(leaf.AuthorityKeyId) + "." + encode(serial))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var told struct {
		SuggestedWindow struct{ Start, End time.Time }
	}
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		return nil, err
	}
	window := told.SuggestedWindow
	return seen{
		"status":      response.StatusCode,
		"retry-after": response.Header.Get("Retry-After"),
		"ordered":     window.Start.Before(window.End),
		"within":      window.Start.After(leaf.NotBefore) && window.End.Before(leaf.NotAfter),
	}, nil
}

func (w *world) alternates(ctx context.Context) (seen, error) {
	urls, err := w.client.ListCertAlternates(ctx, w.lastURL)
	if err != nil {
		return nil, err
	}
	for _, url := range urls {
		if _, err := w.client.FetchCert(ctx, url, true); err != nil {
			return nil, fmt.Errorf("%s: %w", url, err)
		}
	}
	return seen{"count": len(urls)}, nil
}

// orders reads the account's list with a request signed here: x/crypto has no call for it.
func (w *world) orders(ctx context.Context) (seen, error) {
	account, err := w.client.GetReg(ctx, "")
	if err != nil {
		return nil, err
	}
	found, err := w.client.Discover(ctx)
	if err != nil {
		return nil, err
	}
	response, err := w.web.Head(found.NonceURL)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	header := fmt.Sprintf(`{"alg":"ES256","kid":%q,"nonce":%q,"url":%q}`,
		account.URI, response.Header.Get("Replay-Nonce"), account.OrdersURL)
	protected := base64.RawURLEncoding.EncodeToString([]byte(header))
	digest := sha256.Sum256([]byte(protected + "."))
	r, s, err := ecdsa.Sign(rand.Reader, w.client.Key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	body := fmt.Sprintf(`{"protected":%q,"payload":"","signature":%q}`,
		protected, base64.RawURLEncoding.EncodeToString(signature))
	response, err = w.web.Post(account.OrdersURL, "application/jose+json", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var listed struct{ Orders []string }
	if err := json.Unmarshal(raw, &listed); err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d: %s", response.StatusCode, raw)
	}
	return seen{"count": len(listed.Orders)}, nil
}

func (w *world) keyRollover(ctx context.Context) (seen, error) {
	before := w.client.Key
	if err := w.client.AccountKeyRollover(ctx, newKey()); err != nil {
		return nil, err
	}
	old := &acme.Client{Key: before, DirectoryURL: w.client.DirectoryURL, HTTPClient: w.web}
	_, err := old.GetReg(ctx, "")
	return seen{"old-key-is-unknown": errors.Is(err, acme.ErrNoAccount)}, nil
}

// revokeByKey signs with the certificate's key, without an account; a second time is refused.
func (w *world) revokeByKey(ctx context.Context) (seen, error) {
	if _, err := w.issue(ctx, "http-01", acme.DomainIDs("leaked.xcrypto.test")); err != nil {
		return nil, err
	}
	stranger := &acme.Client{Key: newKey(), DirectoryURL: w.client.DirectoryURL, HTTPClient: w.web}
	if err := stranger.RevokeCert(ctx, w.lastKey, w.last, acme.CRLReasonKeyCompromise); err != nil {
		return nil, err
	}
	return seen{"revoked": true}, nil
}

func (w *world) revokeByAccount(ctx context.Context) (seen, error) {
	if _, err := w.issue(ctx, "http-01", acme.DomainIDs("retired.xcrypto.test")); err != nil {
		return nil, err
	}
	if err := w.client.RevokeCert(ctx, nil, w.last, acme.CRLReasonCessationOfOperation); err != nil {
		return nil, err
	}
	// x/crypto takes "already revoked" as success.
	return seen{"revoked": true, "again": w.client.RevokeCert(ctx, nil, w.last, acme.CRLReasonCessationOfOperation) == nil}, nil
}

func (w *world) deactivateAccount(ctx context.Context) (seen, error) {
	if err := w.client.DeactivateReg(ctx); err != nil {
		return nil, err
	}
	_, err := w.client.AuthorizeOrder(ctx, acme.DomainIDs("late.xcrypto.test"))
	if err == nil {
		return nil, errors.New("a deactivated account placed an order")
	}
	return problem(err), nil
}

// answers holds what the validating server is told.
type answers struct {
	mu           sync.Mutex
	files        map[string]string
	texts        map[string][]string
	certificates map[string]*tls.Certificate
}

func (a *answers) file(path, body string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path] = body
}

func (a *answers) text(name, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.texts[strings.ToLower(name)] = append(a.texts[strings.ToLower(name)], value)
}

func (a *answers) certificate(name string, certificate *tls.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if address := net.ParseIP(name); address != nil {
		name, _ = dns.ReverseAddr(name) // what RFC 8738 §6 puts into the server name
		name = strings.TrimSuffix(name, ".")
	}
	a.certificates[strings.ToLower(name)] = certificate
}

func (a *answers) serve(httpAddress, alpnAddress, dnsAddress string) {
	web, err := net.Listen("tcp", httpAddress)
	must(err)
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		body, ok := a.files[r.URL.Path]
		a.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, body)
	}))
	alpn, err := tls.Listen("tcp", alpnAddress, &tls.Config{
		NextProtos: []string{acme.ALPNProto},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			if found, ok := a.certificates[strings.ToLower(hello.ServerName)]; ok {
				return found, nil
			}
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		},
	})
	must(err)
	go func() {
		for {
			connection, err := alpn.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				connection.(*tls.Conn).Handshake()
			}()
		}
	}()
	packets, err := net.ListenPacket("udp", dnsAddress)
	must(err)
	stream, err := net.Listen("tcp", dnsAddress)
	must(err)
	go (&dns.Server{PacketConn: packets, Handler: a}).ActivateAndServe()
	go (&dns.Server{Listener: stream, Handler: a}).ActivateAndServe()
}

// ServeDNS tells 127.0.0.1 for every name under test, and the texts that challenges need.
func (a *answers) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	for _, question := range query.Question {
		header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET}
		switch question.Qtype {
		case dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
		case dns.TypeTXT:
			a.mu.Lock()
			for _, value := range a.texts[strings.ToLower(strings.TrimSuffix(question.Name, "."))] {
				reply.Answer = append(reply.Answer, &dns.TXT{Hdr: header, Txt: []string{value}})
			}
			a.mu.Unlock()
		}
	}
	w.WriteMsg(reply)
}
