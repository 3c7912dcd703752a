// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// certLife is how long certificates and tokens of a sandbox are good for.
const certLife = 30 * 24 * time.Hour

// authority signs the certificates of one sandbox: the API server's and its
// users'. Its key stays in memory.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// keyPair is a certificate and its private key in PEM.
type keyPair struct{ cert, key []byte }

func newAuthority() (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "muster-sandbox-ca"}, key)
	if err != nil {
		return nil, fmt.Errorf("make the sandbox's certificate authority: %w", err)
	}
	return &authority{cert: ca, key: key}, nil
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	return key, nil
}

func (a *authority) certPEM() []byte { return encodeCert(a.cert.Raw) }

// issueClientCert issues a certificate that the API server reads as a user in
// groups.
func (a *authority) issueClientCert(user string, groups []string) (keyPair, error) {
	return a.issueCert(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// issueServerCert issues the API server's certificate.
func (a *authority) issueServerCert() (keyPair, error) {
	return a.issueCert(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
}

func (a *authority) issueCert(template *x509.Certificate) (keyPair, error) {
	key, err := newKey()
	if err != nil {
		return keyPair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return keyPair{}, fmt.Errorf("choose a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = a.cert.NotBefore
	template.NotAfter = time.Now().Add(certLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("issue a certificate for %q: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return keyPair{}, fmt.Errorf("encode the key for %q: %w", template.Subject.CommonName, err)
	}
	return keyPair{cert: encodeCert(der), key: keyPEM}, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
}

// writePKI writes into dir the files that the API server reads: ca.crt,
// server.crt, server.key, and service-accounts.key, which signs tokens.
func (a *authority) writePKI(dir string) error {
	server, err := a.issueServerCert()
	if err != nil {
		return err
	}
	signer, err := newKey()
	if err != nil {
		return err
	}
	tokenKey, err := keyutil.MarshalPrivateKeyToPEM(signer)
	if err != nil {
		return fmt.Errorf("encode the ServiceAccount key: %w", err)
	}
	for name, data := range map[string][]byte{
		"ca.crt":               a.certPEM(),
		"server.crt":           server.cert,
		"server.key":           server.key,
		"service-accounts.key": tokenKey,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
